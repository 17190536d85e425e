# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# Every header has a test of its name, or a line in mirror.txt beside this file that says what tests it, or why nothing does.
#
#   cmake [-DROOT=<repository>] -P tests/headers/mirror.cmake
#
# - include/folio/<room>/<header>.hpp: tests/<room>/<header>_test.cpp
# - include/folio/<room>/<header>.cuh: tests/<room>/<header>_cuda_test.cpp
# - a line of mirror.txt is "<room>/<header>: <reason>"; each test that a reason names, by its path in tests/, exists
# - no line is of a header that does not exist, or has a test
cmake_minimum_required(VERSION 3.25)

if(NOT ROOT)
  set(ROOT ${CMAKE_CURRENT_LIST_DIR}/../..)
endif()
set(problems 0)
macro(problem text)
  math(EXPR problems "${problems} + 1")
  message(NOTICE "${text}")
endmacro()

set(listed)
file(STRINGS ${ROOT}/tests/headers/mirror.txt lines REGEX "^[^#]")
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^([^ :]+): (.+)$")
    problem("mirror.txt: cannot read: ${line}")
    continue()
  endif()
  set(header ${CMAKE_MATCH_1})
  set(reason "${CMAKE_MATCH_2}")
  if(NOT EXISTS ${ROOT}/include/folio/${header})
    problem("mirror.txt: there is no ${header}")
  elseif(header IN_LIST listed)
    problem("mirror.txt: ${header} has two lines")
  endif()
  string(REGEX MATCHALL "[a-z0-9_/]+_test\\.cpp" tests "${reason}")
  foreach(test IN LISTS tests)
    if(NOT EXISTS ${ROOT}/tests/${test})
      problem("mirror.txt: ${header}: there is no tests/${test}")
    endif()
  endforeach()
  list(APPEND listed ${header})
endforeach()

file(GLOB_RECURSE headers RELATIVE ${ROOT}/include/folio ${ROOT}/include/folio/*.hpp ${ROOT}/include/folio/*.cuh)
set(mirrored 0)
foreach(header IN LISTS headers)
  string(REGEX REPLACE "\\.hpp$" "_test.cpp" test ${header})
  string(REGEX REPLACE "\\.cuh$" "_cuda_test.cpp" test ${test})
  set(has_test FALSE)
  if(EXISTS ${ROOT}/tests/${test})
    set(has_test TRUE)
    math(EXPR mirrored "${mirrored} + 1")
  endif()
  if(has_test AND header IN_LIST listed)
    problem("mirror.txt: ${header} has a test of its name, tests/${test}, and needs no line")
  elseif(NOT has_test AND NOT header IN_LIST listed)
    problem("${header}: there is no tests/${test}, and no line in tests/headers/mirror.txt that says why")
  endif()
endforeach()

list(LENGTH headers count)
list(LENGTH listed exempt)
if(problems OR NOT count)
  message(FATAL_ERROR "mirror: ${problems} problems in ${count} headers")
endif()
message(STATUS "mirror: ${count} headers, ${mirrored} with a test of their name, ${exempt} listed, no problem")
