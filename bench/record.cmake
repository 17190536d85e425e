# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake --workflow --preset bench
#   cmake [-DNAMES=pool;append] [-DBUILD=<folder>] [-DFROM=<folder>] [-DTO=<folder>] [-DCOMMAND=<text>]
#     [-DCOMMIT=<hash> -DCOMMIT_DATE=<date>] -P bench/record.cmake
#
# Copies the figures of the last run (all, or NAMES) from the build folder's results to bench/results, and adds under
# "folio" what a reader needs to judge them: the command, the commit and its date, and the machine: its processor, which
# one that is (family, model and stepping), and what vector instructions it has. What names this machine
# or a folder of it is left out. It refuses to record a tree that differs from its commit; where the tree is a copy without
# its history, the caller says which commit it is.
cmake_minimum_required(VERSION 3.25)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
if(NOT BUILD)
  set(BUILD ${root}/build/bench)
endif()
cmake_path(ABSOLUTE_PATH BUILD BASE_DIRECTORY ${root})
if(NOT FROM)
  set(FROM ${BUILD}/results)
endif()
cmake_path(ABSOLUTE_PATH FROM BASE_DIRECTORY ${root})
if(NOT COMMAND)
  set(COMMAND "cmake --workflow --preset bench")
endif()
if(NOT TO)
  set(TO ${root}/bench/results)
endif()

# Sets `out` to the first line that a command prints.
function(first_line out)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${root} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "\n.*" "" text "${text}")
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

# Sets the member `path` (a list of names) of the JSON text `json` to the string `value`.
macro(set_string value)
  set(escaped "${value}")
  string(REPLACE "\\" "\\\\" escaped "${escaped}")
  string(REPLACE "\"" "\\\"" escaped "${escaped}")
  string(JSON json SET "${json}" ${ARGN} "\"${escaped}\"")
endmacro()

if(COMMIT)
  set(commit "${COMMIT}")
  set(commit_date "${COMMIT_DATE}")
else()
  execute_process(COMMAND git status --porcelain -- . ":!bench/results" WORKING_DIRECTORY ${root} OUTPUT_VARIABLE changes
    COMMAND_ERROR_IS_FATAL ANY)
  if(changes)
    message(FATAL_ERROR "commit first: the figures would name a commit that is not what was measured\n${changes}")
  endif()
  first_line(commit git rev-parse HEAD)
  first_line(commit_date git show -s --format=%cI HEAD)
endif()

file(READ ${BUILD}/CMakeCache.txt cache)
string(REGEX MATCH "CMAKE_CXX_COMPILER:[A-Z]+=([^\n]+)" matched "${cache}")
first_line(compiler ${CMAKE_MATCH_1} --version)
execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C lscpu OUTPUT_VARIABLE lscpu COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "Model name: +([^\n]+)" matched "${lscpu}")
set(processor "${CMAKE_MATCH_1}")
set(processor_model)
foreach(line "CPU family" "Model" "Stepping")
  if("${lscpu}" MATCHES "\n *${line}: +([^\n]+)")
    string(TOLOWER "${line} ${CMAKE_MATCH_1}" words)
    list(APPEND processor_model "${words}")
  endif()
endforeach()
list(JOIN processor_model ", " processor_model)
string(REGEX MATCH "\n *Flags: +([^\n]+)" matched "${lscpu}")
string(REPLACE " " ";" instructions "${CMAKE_MATCH_1}")
list(FILTER instructions INCLUDE REGEX "^(fma|f16c|avx.*|amx.*|asimd.*|sve.*|i8mm|bf16)$")
list(JOIN instructions " " instructions)

if(NOT NAMES)
  file(GLOB files ${FROM}/*.json)
  foreach(file IN LISTS files)
    cmake_path(GET file STEM name)
    list(APPEND NAMES ${name})
  endforeach()
endif()
if(NOT NAMES)
  message(FATAL_ERROR "no figures in ${FROM}: run ${COMMAND} first")
endif()

foreach(name IN LISTS NAMES)
  file(READ ${FROM}/${name}.json json)
  string(JSON cores GET "${json}" context num_cpus)
  foreach(member date host_name executable)
    string(JSON json ERROR_VARIABLE is_not_there REMOVE "${json}" context ${member})
  endforeach()
  string(JSON json SET "${json}" folio "{}")
  set_string("${COMMAND}" folio command)
  set_string("${commit}" folio commit)
  set_string("${commit_date}" folio commit_date)
  set_string("${processor}" folio processor)
  set_string("${processor_model}" folio processor_model)
  set_string("${instructions}" folio instructions)
  set_string("${compiler}" folio compiler)
  string(JSON json SET "${json}" folio cores ${cores})
  file(WRITE ${TO}/${name}.json "${json}\n")
  message(STATUS "recorded ${name}")
endforeach()
