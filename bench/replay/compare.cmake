# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DREPLAY=<program> [-DTRACE=<file>] [-DTO=<folder>] -P bench/replay/compare.cmake
#
# Compares all policies of eviction on TRACE and on all generated traffic. Writes replay.json to the folder TO, from where
# bench/record.cmake keeps it; bench/plots/draw.py draws what is kept.
cmake_minimum_required(VERSION 3.25)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
cmake_path(GET root PARENT_PATH root)
if(NOT TO)
  set(TO ${root}/build/bench/results)
endif()
file(MAKE_DIRECTORY ${TO})
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)

set(comparisons)
set(kinds documents reports chat agents scan loop bursts mixed phases)
if(TRACE)
  list(PREPEND kinds trace)
endif()
foreach(kind IN LISTS kinds)
  set(traffic --generate ${kind})
  if(kind STREQUAL "trace")
    set(traffic --trace ${TRACE})
  endif()
  execute_process(COMMAND ${REPLAY} ${traffic} --compare --json
    OUTPUT_VARIABLE json OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND comparisons "${json}")
  message(STATUS "compared on ${kind}")
endforeach()
list(JOIN comparisons ",\n    " comparisons)
file(WRITE ${TO}/replay.json
  "{\n  \"context\": {\"num_cpus\": ${cores}},\n  \"comparisons\": [\n    ${comparisons}\n  ]\n}\n")
