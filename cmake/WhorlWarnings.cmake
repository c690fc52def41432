# SPDX-License-Identifier: Apache-2.0
# Language and warnings of everything in this tree.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Off where a newcomer builds with a compiler that nobody here has tried; .ci/run and every preset
# but release switch it on.
option(WHORL_WERROR "Treat warnings as errors" OFF)

add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes)
if(WHORL_WERROR)
    add_compile_options(-Werror)
endif()

# Empty on purpose: the same text as "#define _GNU_SOURCE" in a file, so that both may be there.
add_compile_definitions(_GNU_SOURCE=)
