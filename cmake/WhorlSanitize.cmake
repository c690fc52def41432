# SPDX-License-Identifier: Apache-2.0
# WHORL_SANITIZE=address|undefined|thread builds everything, tests included, with that sanitizer.

set(WHORL_SANITIZE "" CACHE STRING "address, undefined or thread; empty for none")
set_property(CACHE WHORL_SANITIZE PROPERTY STRINGS "" address undefined thread)

if(WHORL_SANITIZE)
    if(NOT WHORL_SANITIZE MATCHES "^(address|undefined|thread)$")
        message(FATAL_ERROR "WHORL_SANITIZE=${WHORL_SANITIZE}: not address, undefined or thread")
    endif()
    add_compile_options(-fsanitize=${WHORL_SANITIZE} -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${WHORL_SANITIZE})
    if(WHORL_SANITIZE STREQUAL "undefined")
        add_compile_options(-fno-sanitize-recover=all)
    endif()
    if(WHORL_SANITIZE STREQUAL "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-Wno-error=tsan) # says that ThreadSanitizer ignores atomic fences
    endif()
endif()
