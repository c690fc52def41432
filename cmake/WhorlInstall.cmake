# SPDX-License-Identifier: Apache-2.0
# Headers, libraries, whorl.pc and the CMake package. The shared and the static library are two
# export sets, so that users of the shared one need no OpenSSL of their own.

include(CMakePackageConfigHelpers)

install(DIRECTORY include/whorl/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/whorl
        FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
install(FILES ${PROJECT_BINARY_DIR}/include/whorl/version.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/whorl)
install(TARGETS whorl EXPORT whorl_shared DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS whorl_static EXPORT whorl_static DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(WHORL_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/whorl)
install(EXPORT whorl_shared NAMESPACE whorl:: FILE whorl-shared-targets.cmake
        DESTINATION ${WHORL_CMAKE_DIR})
install(EXPORT whorl_static NAMESPACE whorl:: FILE whorl-static-targets.cmake
        DESTINATION ${WHORL_CMAKE_DIR})

# "whorl-config.cmake" is found by find_package(whorl) and by find_package(Whorl).
configure_package_config_file(cmake/WhorlConfig.cmake.in ${PROJECT_BINARY_DIR}/whorl-config.cmake
                              INSTALL_DESTINATION ${WHORL_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/whorl-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/whorl-config.cmake
              ${PROJECT_BINARY_DIR}/whorl-config-version.cmake
        DESTINATION ${WHORL_CMAKE_DIR})

# whorl.pc says where it is relative to itself, so that the installed tree may be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(WHORL_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
    set(WHORL_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
else()
    file(RELATIVE_PATH to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
    set(WHORL_PC_PREFIX "\${pcfiledir}/${to_prefix}")
    set(WHORL_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(WHORL_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
else()
    set(WHORL_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(WHORL_PC_OPTIONAL "")
if(WHORL_HAVE_HWLOC)
    string(APPEND WHORL_PC_OPTIONAL " -lhwloc")
endif()
if(WHORL_HAVE_IPSEC_MB)
    string(APPEND WHORL_PC_OPTIONAL " -lIPSec_MB")
endif()
configure_file(cmake/whorl.pc.in whorl.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/whorl.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
