# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake [-DROOT=<repository>] -P cmake/checks/sources.cmake
#
# What every source file must have, and what no file may have. Header lengths are a report: a long header is a smell to look
# at, not an error.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/files.cmake)

set(problems 0)
macro(problem text)
  math(EXPR problems "${problems} + 1")
  message(NOTICE "${text}")
endmacro()

# Each is a pair: what may not stand in any file, and why.
string(ASCII 226 128 148 em_dash)
set(forbidden
  "(^|[^A-Za-z0-9_.}])/(work|farm|root|home|Users)/[A-Za-z.]" "a path of one machine"
  "${em_dash}" "an em dash (write two sentences, or a colon)"
  "(^|[^A-Z])(TOD[O]|FIXM[E]|XX[X])" "work left for later")

folio_list_files(files)
foreach(file IN LISTS files)
  if(file MATCHES "^examples/(models|prompts)/|^LICENSE$")
    continue()  # data, and texts that are not ours to word
  endif()
  file(READ ${ROOT}/${file} text)
  set(rules ${forbidden})
  while(rules)
    list(POP_FRONT rules regex reason)
    if(text MATCHES "${regex}")
      problem("${file}: ${reason}")
    endif()
  endwhile()

  if(file MATCHES "\\.(json|md|txt|csv|tsv|svg)$" AND NOT file MATCHES "CMakeLists\\.txt$")
    continue()  # no comments, or prose
  endif()
  if(NOT text MATCHES "^(#![^\n]*\n)?(//|#) SPDX-FileCopyrightText: [0-9]+ [^\n]+\n(//|#) SPDX-License-Identifier: Apache-2\\.0\n")
    problem("${file}: does not begin with the two SPDX lines")
  endif()
  if(file MATCHES "\\.(hpp|cuh)$" AND NOT text MATCHES "\n#pragma once\n")
    problem("${file}: has no #pragma once")
  endif()
  if(file MATCHES "^include/")
    string(REGEX REPLACE "[^\n]+" "" newlines "${text}")
    string(LENGTH "${newlines}" length)
    if(length GREATER 400 OR (length GREATER 150 AND file MATCHES "/(allocator|prefix|eviction|quantizer|layout|retention)/"))
      message(NOTICE "note: ${file} has ${length} lines (a header 400, a policy 150): is there a second idea in it?")
    endif()
  endif()
endforeach()

list(LENGTH files num_files)
if(problems)
  message(FATAL_ERROR "sources: ${problems} problems in ${num_files} files")
endif()
message(STATUS "sources: ${num_files} files, no problem")
