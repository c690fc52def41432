# SPDX-License-Identifier: Apache-2.0
# Adding an algorithm or a transport is one line: it adds the sources and the row of the registry.

# whorl_sources(registry.c ...) adds files of this folder to the library.
function(whorl_sources)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    target_sources(whorl_objects PRIVATE ${ARGN})
endfunction()

# whorl_algorithm(allreduce_ring) adds allreduce_ring.c of this folder and ALGO(allreduce_ring) to
# algorithms/algorithms.def.
function(whorl_algorithm name)
    whorl_sources(${name}.c)
    set_property(GLOBAL APPEND_STRING PROPERTY WHORL_ALGORITHM_ROWS "ALGO(${name})\n")
endfunction()

# whorl_transport(shm) adds shm/*.c of this folder and TRANSPORT(shm) to wire/transports.def.
# Transports are tried in the order of their lines.
function(whorl_transport name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c)
    if(NOT sources)
        message(FATAL_ERROR "whorl_transport(${name}): no .c file in ${name}/")
    endif()
    target_sources(whorl_objects PRIVATE ${sources})
    set_property(GLOBAL APPEND_STRING PROPERTY WHORL_TRANSPORT_ROWS "TRANSPORT(${name})\n")
endfunction()

# Writes both registries; call it after the last whorl_algorithm() and whorl_transport().
function(whorl_write_registries)
    get_property(algorithms GLOBAL PROPERTY WHORL_ALGORITHM_ROWS)
    get_property(transports GLOBAL PROPERTY WHORL_TRANSPORT_ROWS)
    set(gen ${PROJECT_BINARY_DIR}/gen)
    file(GENERATE OUTPUT ${gen}/algorithms/algorithms.def CONTENT "${algorithms}")
    file(GENERATE OUTPUT ${gen}/wire/transports.def CONTENT "${transports}")
endfunction()
