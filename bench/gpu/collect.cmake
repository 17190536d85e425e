# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DLINES=<figures.jsonl> -DTO=<file.json> -P bench/gpu/collect.cmake
#
# The lines that gpu_bench wrote, as one JSON text in the form of Google Benchmark: {"context": ..., "benchmarks": [...]}.
# What was cut off in the middle of a line, when the machine went away, is left out.

file(STRINGS ${LINES} lines)
set(context "{}")
set(benchmarks "")
foreach(line IN LISTS lines)
  string(JSON of_context ERROR_VARIABLE is_figure GET "${line}" context)
  string(JSON name ERROR_VARIABLE is_cut_off GET "${line}" name)
  if(NOT is_figure)
    set(context "${of_context}")
  elseif(NOT is_cut_off)
    string(APPEND benchmarks "${separator}\n${line}")
    set(separator ",")
  endif()
endforeach()
file(WRITE ${TO} "{\"context\": ${context},\n\"benchmarks\": [${benchmarks}\n]}\n")
