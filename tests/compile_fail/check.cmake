# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DCOMPILER=g++ -DINCLUDE_DIR=include -DSOURCE=tests/compile_fail/x.cpp [-DPRECOMPILED=<folder>]
#         -P tests/compile_fail/check.cmake
#
# The source holds one or more lines `// expected-error: <regex>` (of CMake's kind) and guards the wrong lines:
#
#   #ifndef FOLIO_EXPECT_OK
#   using Wrong = folio::KvCache<...>;   // expected-error: ...
#   #endif
#
# It must not compile, each regex must be in what the compiler says, and with FOLIO_EXPECT_OK it must compile: so nothing
# but the guarded lines is wrong. A guard may have an #else with the right form.
cmake_minimum_required(VERSION 3.25)

set(ENV{LC_ALL} C)  # English messages with plain quotes
if(PRECOMPILED)
  set(precompiled -I${PRECOMPILED})  # headers that CMakeLists.txt compiled
endif()
# Device code is compiled by way of the host runner.
set(compile ${COMPILER} -std=c++20 -fsyntax-only ${precompiled} -I${INCLUDE_DIR} -I${INCLUDE_DIR}/folio_simt
  -I${INCLUDE_DIR}/folio_simt/simt/cuda_runtime ${SOURCE})

set(expected)
file(STRINGS ${SOURCE} lines REGEX "// expected-error: ")
foreach(line IN LISTS lines)
  string(REGEX REPLACE ".*// expected-error: (.*)$" "\\1" regex "${line}")
  list(APPEND expected "${regex}")
endforeach()
if(NOT expected)
  message(FATAL_ERROR "${SOURCE} has no line: // expected-error: <regex>")
endif()

execute_process(COMMAND ${compile} OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE result)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles, and must not")
endif()
# The compiler also prints the source line, and with it the comment; what it says itself must match.
string(REGEX REPLACE "// expected-error: [^\n]*" "" said "${said}")
foreach(regex IN LISTS expected)
  if(NOT said MATCHES "${regex}")
    message(FATAL_ERROR "${SOURCE}: the compiler does not say \"${regex}\", but:\n${said}")
  endif()
endforeach()

execute_process(COMMAND ${compile} -DFOLIO_EXPECT_OK OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} does not compile with FOLIO_EXPECT_OK, so more than the guarded lines is wrong:\n${said}")
endif()
