# SPDX-License-Identifier: Apache-2.0
# WHORL_SANITIZE=address|thread builds everything, tests included, with sanitizers: address stands for
# AddressSanitizer with LeakSanitizer and UndefinedBehaviorSanitizer, which get along in one build.

set(WHORL_SANITIZE "" CACHE STRING "address or thread; empty for none")
set_property(CACHE WHORL_SANITIZE PROPERTY STRINGS "" address thread)

if(WHORL_SANITIZE)
    if(WHORL_SANITIZE STREQUAL "address")
        set(sanitizers address,undefined)
        add_compile_options(-fno-sanitize-recover=all)
    elseif(WHORL_SANITIZE STREQUAL "thread")
        set(sanitizers thread)
        if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
            add_compile_options(-Wno-error=tsan) # says that ThreadSanitizer ignores atomic fences
        endif()
    else()
        message(FATAL_ERROR "WHORL_SANITIZE=${WHORL_SANITIZE}: not address or thread")
    endif()
    # With what sanitizers insert, -O2 takes longer to compile than it saves in the tests. Warnings that
    # need what it finds out are for the other builds.
    add_compile_options(-fsanitize=${sanitizers} -fno-omit-frame-pointer -O1 -g1
                        -Wno-format-truncation -Wno-maybe-uninitialized)
    add_link_options(-fsanitize=${sanitizers})
endif()
