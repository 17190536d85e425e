# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake "-DCOMPILE=g++ -std=c++20 -c -x c++" -DINCLUDE_DIR=include -DHEADER=folio/folio.hpp [-DBASE=<header>]
#         "-DYARDSTICK=g++ -std=c++20 -c -x c++" -DBUDGET_MS=1000 -DSCRATCH=<folder> -P tests/compile_time/measure.cmake
#   cmake ... -DSOURCE=<file> ... instead of HEADER and BASE
#
# Compiles a source that includes BASE and HEADER, and one that includes BASE only, and compares the difference with the
# budget; or SOURCE, and an empty source. Processor time, not wall time, because other programs may run beside it; the
# least of up to ten, because noise only ever adds. It stops early once the budget is kept. A budget is in milliseconds
# of a machine on which YARDSTICK compiles a source of some standard headers in 400 ms: it is compiled in turn with the
# others, and on a machine that takes twice as long for it the budget is twice as much.
cmake_minimum_required(VERSION 3.25)

separate_arguments(COMPILE UNIX_COMMAND "${COMPILE}")

# Sets `out` to the milliseconds of user and system time that one compilation takes.
function(measure out source)
  # The shell's `times` prints a line for itself and one for its children: 0m0.351s 0m0.042s.
  execute_process(COMMAND sh -c "\"$@\" && times" sh ${COMPILE} ${source} -I${INCLUDE_DIR} -o ${SCRATCH}/out.o
    OUTPUT_VARIABLE output ERROR_VARIABLE error RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${HEADER} does not compile: ${error}")
  endif()
  if(NOT output MATCHES "\n([0-9]+)m([0-9]+)\\.([0-9][0-9])[0-9]*s ([0-9]+)m([0-9]+)\\.([0-9][0-9])[0-9]*s")
    message(FATAL_ERROR "cannot read the shell's times: ${output}")
  endif()
  math(EXPR ms "(${CMAKE_MATCH_1} + ${CMAKE_MATCH_4}) * 60000 + (${CMAKE_MATCH_2} + ${CMAKE_MATCH_5}) * 1000
    + (1${CMAKE_MATCH_3} - 100 + 1${CMAKE_MATCH_6} - 100) * 10")
  set(${out} ${ms} PARENT_SCOPE)
endfunction()

set(base_text "")
if(BASE)
  set(base_text "#include <${BASE}>\n")
endif()
file(WRITE ${SCRATCH}/base.txt "${base_text}")
set(base_source ${SCRATCH}/base.txt)
if(SOURCE)
  cmake_path(GET SOURCE FILENAME HEADER)
  set(with_source ${SOURCE})
else()
  set(with_source ${SCRATCH}/with.txt)
  file(WRITE ${with_source} "${base_text}#include <${HEADER}>\n")
endif()

set(yardstick_headers algorithm cmath condition_variable map memory mutex span string thread vector)
list(TRANSFORM yardstick_headers REPLACE "(.+)" "#include <\\1>\n")
list(JOIN yardstick_headers "" yardstick_text)
set(yardstick_source ${SCRATCH}/yardstick.txt)
file(WRITE ${yardstick_source} "${yardstick_text}")
separate_arguments(YARDSTICK UNIX_COMMAND "${YARDSTICK}")

set(own_compile ${COMPILE})
set(base_ms 1000000)
set(with_ms 1000000)
set(yardstick_ms 1000000)
foreach(round RANGE 1 10)
  foreach(kind yardstick base with)
    set(COMPILE ${own_compile})
    if(kind STREQUAL yardstick)
      set(COMPILE ${YARDSTICK})
    endif()
    measure(ms ${${kind}_source})
    if(ms LESS ${kind}_ms)
      set(${kind}_ms ${ms})
    endif()
  endforeach()
  math(EXPR cost_ms "(${with_ms} - ${base_ms}) * 400 / ${yardstick_ms}")
  if(round GREATER_EQUAL 3 AND cost_ms LESS_EQUAL BUDGET_MS)
    break()
  endif()
endforeach()

set(figures "${HEADER} costs ${cost_ms} ms of ${BUDGET_MS} ms, where the yardstick takes 400 ms (${with_ms} ms with it, ${base_ms} ms without, yardstick ${yardstick_ms} ms)")
if(cost_ms GREATER BUDGET_MS)
  message(FATAL_ERROR "over budget: ${figures}")
endif()
message(STATUS "${figures}")
