# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DPROGRAM=<gpu_bench on the stand-in> -DOUT=<folder> -P tests/gpu/run_test.cmake
#
# bench/gpu/run from end to end with a program that was built elsewhere: what it leaves, and what it ends with.

cmake_path(SET root NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../..")
set(with_gpu ${CMAKE_COMMAND} -E env --modify PATH=path_list_prepend:${CMAKE_CURRENT_LIST_DIR}/stand_in)

# Runs bench/gpu/run and fails unless it ends with `expected`.
function(run expected)
  file(REMOVE_RECURSE ${OUT})
  execute_process(COMMAND ${with_gpu} ${root}/bench/gpu/run --prebuilt ${PROGRAM} --build ${OUT}/none --out ${OUT} ${ARGN}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL expected)
    message(FATAL_ERROR "bench/gpu/run ${ARGN} ended with ${result}, not ${expected}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect what value)
  if(NOT "${what}" MATCHES "${value}")
    message(FATAL_ERROR "'${what}' is not like '${value}':\n${output}")
  endif()
endfunction()

# Without a GPU nothing is begun.
find_program(nvidia_smi nvidia-smi NO_CACHE)
if(NOT nvidia_smi)
  set(kept ${with_gpu})
  set(with_gpu)
  run(77)
  set(with_gpu ${kept})
endif()

# A smoke test and a figure.
run(0 --no-tests --deadline 200 -- --tiny --only merge)
expect("${output}" "left out: .*tests.*all that was run passed")
run(0 --no-tests --deadline 200 -- --tiny --only gpu/upload)
file(READ ${OUT}/gpu-ops.json json)
string(JSON gpu GET "${json}" context gpu)
string(JSON name GET "${json}" benchmarks 0 name)
string(JSON samples GET "${json}" benchmarks 0 iterations)
string(JSON nanoseconds GET "${json}" benchmarks 0 ns_per_block)
expect("${gpu}" "stand-in")
expect("${name}" "^gpu/upload$")
expect("${samples}" "^20$")
expect("${nanoseconds}" "^[0-9.]+$")

# The deadline comes first: what was not reached has a line that says so, and the run fails.
run(1 --no-tests --deadline 200 -- --tiny --only smoke/merge --deadline 0.001)
expect("${output}" "the deadline came first|did not end within")

# What was written before the machine went away is kept, without the half line.
file(WRITE ${OUT}/cut.jsonl "{\"context\": {\"gpu\": \"g\"}}\n{\"name\": \"a\", \"real_time\": 1}\n{\"name\": \"b\", \"re")
execute_process(COMMAND ${CMAKE_COMMAND} -DLINES=${OUT}/cut.jsonl -DTO=${OUT}/cut.json -P ${root}/bench/gpu/collect.cmake
  COMMAND_ERROR_IS_FATAL ANY)
file(READ ${OUT}/cut.json json)
string(JSON count LENGTH "${json}" benchmarks)
expect("${count}" "^1$")
