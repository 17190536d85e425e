# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DPROGRAM=<gpu_bench on the stand-in> -DOUT=<folder> -P tests/gpu/run_tests_test.cmake
#
# What bench/gpu/run does where it builds all itself: the calls of cmake, the record of figures, and which tests and
# examples it runs, alone and under compute-sanitizer. All these programs are scripts, made here, but gpu_bench.

cmake_path(SET root NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../..")
set(tree ${OUT}/tree)  # a tree of its own, for figures are recorded in it
set(bin ${OUT}/bin)
file(REMOVE_RECURSE ${OUT})
file(COPY ${root}/bench/gpu/run ${root}/bench/gpu/collect.cmake DESTINATION ${tree}/bench/gpu)
file(COPY ${root}/bench/record.cmake DESTINATION ${tree}/bench)

function(write_script path text)
  file(WRITE ${path} "#!/bin/sh\n${text}")
  file(CHMOD ${path} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# Tests that pass, skip and fail, one that takes too long, and an example: each says what it was given.
foreach(program gpu_good_test=0 gpu_skips_test=77 gpu_bad_test=3 gpu_slow_test=0 01_example=0)
  string(REPLACE "=" ";" program ${program})
  list(POP_FRONT program name result)
  set(sleep "")
  if(name STREQUAL gpu_slow_test)
    set(sleep "exec sleep 300\n")
  endif()
  write_script(${OUT}/programs/${name} "echo \"ran ${name} with:$*\"\n${sleep}exit ${result}\n")
endforeach()

# cmake: scripts are run, for the rest it says what it was asked. A build puts there what was to be built.
write_script(${bin}/cmake [[
case " $* " in
*" -P "*) exec "$REAL_CMAKE" "$@" ;;
*" --target gpu_bench "*) mkdir -p "$2/bench/gpu" && cp "$PROGRAM" "$2/bench/gpu/gpu_bench" ;;
*" --target gpu "*)
  mkdir -p "$2/tests/gpu" "$2/examples/01_folder" && [ -n "$TESTS" ] || exit 1
  for name in $TESTS; do
    case $name in *_test) cp "$PROGRAMS/$name" "$2/tests/gpu" ;; *) cp "$PROGRAMS/$name" "$2/examples" ;; esac
  done ;;
*) mkdir -p "$4" && echo "CMAKE_CXX_COMPILER:FILEPATH=cc" > "$4/CMakeCache.txt" ;;
esac || exit
echo "cmake $*" >> "$CMAKE_LOG"
]])
write_script(${bin}/cc "echo 'a compiler'\n")
write_script(${bin}/lscpu "printf 'CPU(s): 2\\nModel name:  A Processor\\n  CPU family:  6\\n  Model:  143\\n  Flags:  fpu fma avx2 amx_int8 sha_ni\\n'\n")
write_script(${OUT}/sanitizer/compute-sanitizer [[
[ "$1 $3 $4" = "--tool --error-exitcode 1" ] || exit 9
echo "under $2: $(basename "$5")"
shift 4
exec "$@"
]])

# Runs bench/gpu/run where a build makes the tests `tests`, and fails unless it ends with `expected`.
function(run expected tests)
  cmake_parse_arguments(PARSE_ARGV 2 arg "SANITIZER" "" "ARGUMENTS")
  file(REMOVE_RECURSE ${tree}/build ${tree}/bench/results)
  file(REMOVE ${OUT}/cmake.log)
  set(path "${CMAKE_CURRENT_LIST_DIR}/stand_in:${bin}:$ENV{PATH}")
  if(arg_SANITIZER)
    set(path "${OUT}/sanitizer:${path}")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "PATH=${path}" REAL_CMAKE=${CMAKE_COMMAND} PROGRAM=${PROGRAM}
      PROGRAMS=${OUT}/programs "TESTS=${tests}" CMAKE_LOG=${OUT}/cmake.log FOLIO_COMMIT=0123abc
      FOLIO_COMMIT_DATE=2026-01-01 FOLIO_GET_DEPENDENCIES=OFF
      ${tree}/bench/gpu/run ${arg_ARGUMENTS} -- --tiny --only gpu/upload
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL expected)
    message(FATAL_ERROR "bench/gpu/run ended with ${result}, not ${expected}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect value)
  if(NOT "${output}" MATCHES "${value}")
    message(FATAL_ERROR "no '${value}' in:\n${output}")
  endif()
endfunction()
function(expect_not value)
  if("${output}" MATCHES "${value}")
    message(FATAL_ERROR "there is a '${value}' in:\n${output}")
  endif()
endfunction()

# All passes: the figures are recorded with their commit, and each program runs alone and under both tools.
run(0 "gpu_good_test gpu_skips_test 01_example" SANITIZER)
expect("ran gpu_good_test with:~\\[stand_in\\]\n")
expect("ran gpu_skips_test with:~\\[stand_in\\]\n")
expect("ran 01_example with:\n")
foreach(tool memcheck racecheck)
  foreach(program gpu_good_test gpu_skips_test 01_example)
    expect("under ${tool}: ${program}\nran ${program}")
  endforeach()
endforeach()
expect_not("01_folder|left out")
expect("all that was run passed")
file(READ ${tree}/bench/results/gpu-ops.json json)
string(JSON commit GET "${json}" folio commit)
string(JSON command GET "${json}" folio command)
string(JSON name GET "${json}" benchmarks 0 name)
set(output "${commit} ${command} ${name}")
expect("^0123abc bench/gpu/run gpu/upload$")
foreach(member processor processor_model instructions)
  string(JSON ${member} GET "${json}" folio ${member})
endforeach()
set(output "${processor}: ${processor_model}: ${instructions}")
expect("^A Processor: cpu family 6, model 143: fma avx2 amx_int8$")
file(READ ${OUT}/cmake.log output)
expect("-B build/gpu [^\n]*CMAKE_CUDA_ARCHITECTURES=native[^\n]*FOLIO_BUILD_TESTS=OFF[^\n]*FOLIO_GPU_BENCH_ALL=ON")
expect("-B build/gpu [^\n]*FOLIO_BUILD_TESTS=ON[^\n]*FOLIO_BUILD_GPU_TESTS=ON[^\n]*FOLIO_GET_DEPENDENCIES=OFF")

# A test that fails fails the run, which goes on with the others.
run(1 "gpu_bad_test gpu_good_test" SANITIZER)
expect("gpu_bad_test ended with 3")
expect("memcheck --error-exitcode 1 [^\n]*gpu_bad_test ended with 3")
expect("under racecheck: gpu_good_test")
expect_not("all that was run passed")

# Tests that cannot be built are left out, which is said and fails nothing. So is a tool that is not there.
run(0 "" SANITIZER)
expect("left out: tests \\(they could not be built\\), tests \\(none are there\\)")
find_program(sanitizer compute-sanitizer NO_CACHE)
if(NOT sanitizer)
  run(0 "gpu_good_test")
  expect("left out: memcheck and racecheck \\(compute-sanitizer is not there\\)")
endif()

# Without the tests nothing of them is built.
run(0 "gpu_good_test" ARGUMENTS --no-tests)
file(READ ${OUT}/cmake.log output)
expect_not("--target gpu\n|FOLIO_BUILD_TESTS=ON")

# The deadline ends a program that takes too long, and what comes after it is not begun.
run(0 "gpu_good_test gpu_slow_test" SANITIZER ARGUMENTS --deadline 20)
expect("ran gpu_slow_test")
expect("left out: the rest of [^,]*gpu_slow_test, compute-sanitizer [^,]*gpu_good_test, ")
expect_not("under memcheck")

# Where no time is left, no test is built.
run(1 "gpu_good_test" SANITIZER ARGUMENTS --deadline 0)
expect("left out: tests \\(no time is left to build them\\)")
file(READ ${OUT}/cmake.log output)
expect_not("--target gpu\n|FOLIO_BUILD_TESTS=ON")
