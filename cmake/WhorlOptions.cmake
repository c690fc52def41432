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
