# SPDX-License-Identifier: Apache-2.0
# What a build may switch on and off, and the packages it needs. OpenSSL's libcrypto and threads are
# needed; everything else is optional.

option(WHORL_TESTS "Build the tests" ON)
option(WHORL_VERBS "Build the InfiniBand/RoCE module" OFF)
option(WHORL_CUDA "Build the CUDA module" OFF)
set(WHORL_MPI AUTO CACHE STRING "The MPI binding, and ranks from MPI in perf-tests: ON, OFF, or AUTO (if found)")
set_property(CACHE WHORL_MPI PROPERTY STRINGS AUTO ON OFF)
set(WHORL_HWLOC AUTO CACHE STRING "Topology through hwloc: ON, OFF, or AUTO (if found)")
set_property(CACHE WHORL_HWLOC PROPERTY STRINGS AUTO ON OFF)
set(WHORL_IPSEC_MB AUTO CACHE STRING
    "Encryption by Intel's ipsec-mb where OpenSSL is slower: ON, OFF, or AUTO (if found, and OpenSSL is older than 3.1)")
set_property(CACHE WHORL_IPSEC_MB PROPERTY STRINGS AUTO ON OFF)

foreach(module IN ITEMS VERBS CUDA)
    if(WHORL_${module})
        message(WARNING "WHORL_${module}=ON: the ${module} module is not part of version "
                        "${PROJECT_VERSION}; building without it")
    endif()
endforeach()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenSSL 1.1.1 REQUIRED COMPONENTS Crypto)

# Linked by its full path: users of the static library need not look for it themselves.
set(WHORL_HAVE_HWLOC OFF)
if(WHORL_HWLOC)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(HWLOC QUIET hwloc>=2.1)
    endif()
    if(HWLOC_FOUND)
        set(WHORL_HAVE_HWLOC ON)
    elseif(NOT WHORL_HWLOC STREQUAL "AUTO")
        message(FATAL_ERROR "WHORL_HWLOC=${WHORL_HWLOC}: pkg-config finds no hwloc >= 2.1")
    endif()
endif()
message(STATUS "Topology through hwloc: ${WHORL_HAVE_HWLOC} (WHORL_HWLOC=${WHORL_HWLOC})")

# Its package has no file for pkg-config. What is looked for is what base/gcm_ipsec_mb.c calls.
set(WHORL_HAVE_IPSEC_MB OFF)
if(WHORL_IPSEC_MB STREQUAL "AUTO" AND NOT OPENSSL_VERSION VERSION_LESS 3.1)
    message(STATUS "Encryption by ipsec-mb: OFF, OpenSSL ${OPENSSL_VERSION} is as fast")
elseif(WHORL_IPSEC_MB)
    include(CheckCSourceCompiles)
    find_path(WHORL_IPSEC_MB_INCLUDE_DIR intel-ipsec-mb.h)
    find_library(WHORL_IPSEC_MB_LIBRARY IPSec_MB)
    mark_as_advanced(WHORL_IPSEC_MB_INCLUDE_DIR WHORL_IPSEC_MB_LIBRARY)
    if(WHORL_IPSEC_MB_INCLUDE_DIR AND WHORL_IPSEC_MB_LIBRARY)
        set(CMAKE_REQUIRED_INCLUDES ${WHORL_IPSEC_MB_INCLUDE_DIR})
        set(CMAKE_REQUIRED_LIBRARIES ${WHORL_IPSEC_MB_LIBRARY})
        check_c_source_compiles("#include <intel-ipsec-mb.h>
            int main(void)
            {
                IMB_MGR *manager = alloc_mb_mgr(0);
                init_mb_mgr_auto(manager, NULL);
                aes_gcm_init_t init = manager->gcm256_init;
                return init != NULL && (manager->features & IMB_FEATURE_VAES) != 0 &&
                       imb_get_errno(manager) == 0;
            }" WHORL_IPSEC_MB_WORKS)
        set(CMAKE_REQUIRED_INCLUDES)
        set(CMAKE_REQUIRED_LIBRARIES)
    endif()
    if(WHORL_IPSEC_MB_WORKS)
        set(WHORL_HAVE_IPSEC_MB ON)
    elseif(NOT WHORL_IPSEC_MB STREQUAL "AUTO")
        message(FATAL_ERROR "WHORL_IPSEC_MB=${WHORL_IPSEC_MB}: no intel-ipsec-mb.h and libIPSec_MB "
                            "that have what src/base/gcm_ipsec_mb.c calls")
    endif()
    message(STATUS "Encryption by ipsec-mb: ${WHORL_HAVE_IPSEC_MB} (WHORL_IPSEC_MB=${WHORL_IPSEC_MB})")
endif()

set(WHORL_HAVE_MPI OFF)
if(WHORL_MPI STREQUAL "AUTO")
    find_package(MPI QUIET COMPONENTS C)
elseif(WHORL_MPI)
    find_package(MPI REQUIRED COMPONENTS C)
endif()
if(WHORL_MPI AND MPI_C_FOUND)
    set(WHORL_HAVE_MPI ON)
endif()
message(STATUS "MPI: ${WHORL_HAVE_MPI} (WHORL_MPI=${WHORL_MPI})")
