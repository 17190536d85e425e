# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DROOT=<repository> -P tests/docs/umbrella.cmake
#
# docs/quickstart.md has a table of the headers that folio.hpp does not include, and those for CUDA that cuda.cuh does not.
# It names none that they do include, and whoever includes all that it names besides has every header of the library.
cmake_minimum_required(VERSION 3.25)

# included_by(<out> <header>...): these headers, and all that they include.
function(included_by out)
  set(known)
  set(next ${ARGN})
  while(next)
    list(POP_FRONT next header)
    if(header IN_LIST known OR NOT EXISTS ${ROOT}/include/${header})
      continue()
    endif()
    list(APPEND known ${header})
    file(STRINGS ${ROOT}/include/${header} lines REGEX "^ *# *include <folio/")
    string(REGEX MATCHALL "folio/[^>]+" names "${lines}")
    list(APPEND next ${names})
  endwhile()
  set(${out} "${known}" PARENT_SCOPE)
endfunction()

file(STRINGS ${ROOT}/docs/quickstart.md rows REGEX "^[|].*`folio/")
string(REGEX MATCHALL "`folio/[a-z0-9_/]+[.](hpp|cuh)`" named "${rows}")
string(REPLACE "`" "" named "${named}")
if(NOT named)
  message(FATAL_ERROR "umbrella: docs/quickstart.md has no table of headers")
endif()
included_by(of_host folio/folio.hpp)
included_by(of_cuda folio/cuda.cuh)
included_by(reached folio/folio.hpp folio/cuda.cuh ${named})

set(problems 0)
foreach(header IN LISTS named)
  if(NOT EXISTS ${ROOT}/include/${header})
    message(NOTICE "docs/quickstart.md names ${header}, which does not exist")
    math(EXPR problems "${problems} + 1")
  elseif(header IN_LIST of_host OR (header MATCHES "cuh$" AND header IN_LIST of_cuda))
    message(NOTICE "docs/quickstart.md names ${header}, which folio.hpp or cuda.cuh includes")
    math(EXPR problems "${problems} + 1")
  endif()
endforeach()
file(GLOB_RECURSE headers RELATIVE ${ROOT}/include ${ROOT}/include/folio/*.hpp ${ROOT}/include/folio/*.cuh)
foreach(header IN LISTS headers)
  if(NOT header IN_LIST reached)
    message(NOTICE "${header} is in neither folio.hpp nor cuda.cuh, and docs/quickstart.md does not name it")
    math(EXPR problems "${problems} + 1")
  endif()
endforeach()
if(problems)
  message(FATAL_ERROR "umbrella: ${problems} problems")
endif()
list(LENGTH named num_named)
message(STATUS "umbrella: ${num_named} headers beside folio.hpp and cuda.cuh, no problem")
