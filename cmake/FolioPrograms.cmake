# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# How the programs of this repository (tests, examples, benchmarks) are built. Nothing here reaches a user of folio::folio.

add_library(folio_program INTERFACE)
target_link_libraries(folio_program INTERFACE folio::folio)
# Designated initializers leave out members on purpose.
set(cxx_flags -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast -Wno-missing-field-initializers)
# CMake 3.25 cannot ask nvcc for C++20 itself; the host code that nvcc makes is not pedantic.
set(cuda_flags -std=c++20 -Xcompiler=-Wall,-Wextra,-Wshadow)
if(FOLIO_WARNINGS_AS_ERRORS)
  list(APPEND cxx_flags -Werror)
  list(APPEND cuda_flags -Werror=all-warnings)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_CXX_CLANG_TIDY)  # which would read it, and warn
  # g++ collects garbage from 128 MB on, and most of our sources take more: an eighth of their compilation.
  list(APPEND cxx_flags --param=ggc-min-heapsize=524288)
endif()
if(FOLIO_NATIVE)
  list(APPEND cxx_flags -march=native)
endif()
if(FOLIO_SANITIZE)
  # An undefined operation ends the program, so that the test fails.
  list(APPEND cxx_flags -fsanitize=${FOLIO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(folio_program INTERFACE -fsanitize=${FOLIO_SANITIZE})
endif()
target_compile_options(folio_program INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${cxx_flags}>" "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_flags}>")

# Programs full of templates: lld links them in a fifth of the time that the system's linker takes, where it is installed.
include(CheckLinkerFlag)
check_linker_flag(CXX -fuse-ld=lld FOLIO_HAS_LLD)
if(FOLIO_HAS_LLD)
  target_link_options(folio_program INTERFACE -fuse-ld=lld)
endif()

# folio_optimize(<target>): for a program that would run longer without optimization than it takes to optimize. Nothing
# else is optimized where the tests are built: they are compiled far longer than they run.
function(folio_optimize target)
  set(level -O1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND level -fexpensive-optimizations)  # vzeroupper after AVX, without which SSE takes three times as long
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE "$<$<AND:$<CONFIG:Debug>,$<COMPILE_LANGUAGE:CXX>>:${level}>")
  endif()
endfunction()

# folio_add_test(<name> <source>... [LIBRARIES <target>...] [LABELS <label>...] [TIMEOUT <seconds>])
# One Catch2 program <name>_test, and one ctest <name> that runs it.
function(folio_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LIBRARIES;LABELS")
  add_executable(${name}_test ${arg_UNPARSED_ARGUMENTS})
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name}_test PRIVATE folio_program ${arg_LIBRARIES} rapidcheck Catch2::Catch2WithMain)
  add_test(NAME ${name} COMMAND ${name}_test)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# folio_add_example(<name> <source>...): a program <name>, and a ctest example.<name>: an example checks itself.
function(folio_add_example name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE folio_program)
  add_test(NAME example.${name} COMMAND ${name})
  set_tests_properties(example.${name} PROPERTIES TIMEOUT 120 LABELS example)
endfunction()

# folio_add_bench(<name> <source>...): a Google Benchmark program <name>_bench, which the target run_bench runs, leaving
# its figures in results/<name>.json of the build folder. They run one after the other: figures taken side by side are no figures.
function(folio_add_bench name)
  add_executable(${name}_bench ${ARGN})
  target_link_libraries(${name}_bench PRIVATE folio_program benchmark::benchmark_main)
  set(results ${PROJECT_BINARY_DIR}/results)
  file(MAKE_DIRECTORY ${results})
  if(NOT TARGET run_bench)
    add_custom_target(run_bench)
  endif()
  add_custom_command(TARGET run_bench POST_BUILD USES_TERMINAL VERBATIM
    COMMAND ${name}_bench --benchmark_out=${results}/${name}.json --benchmark_out_format=json)
  add_dependencies(run_bench ${name}_bench)
endfunction()
