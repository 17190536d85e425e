# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DPYTHON=<program> -DROOT=<repository> -DSCRATCH=<folder> -P tests/docs/pictures_test.cmake
#
# bench/plots/draw.py draws the recorded figures, the same file each time, and refuses a picture whose words leave it or
# lie over each other.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

set(result 1)
if(PYTHON)
  execute_process(COMMAND ${PYTHON} -c "import matplotlib" RESULT_VARIABLE result ERROR_QUIET)
endif()
if(NOT result EQUAL 0)
  message(NOTICE "SKIP, nothing was drawn: there is no Python with matplotlib")
  return()
endif()

set(draw ${PYTHON} ${ROOT}/bench/plots/draw.py)
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})

# same(<path> <path>): both are there, and equal.
function(same one other)
  file(SHA256 ${SCRATCH}/${one} one_digest)
  file(SHA256 ${SCRATCH}/${other} other_digest)
  if(NOT one_digest STREQUAL other_digest)
    message(FATAL_ERROR "${one} and ${other} are of the same figures, and differ")
  endif()
endfunction()

foreach(results replay evaluate attend_grid)
  string(REPLACE "attend_" "" kind ${results})
  foreach(name one two)
    expect_output("" ${draw} ${kind} ${ROOT}/bench/results/${results}.json ${SCRATCH}/${kind}_${name}.svg)
  endforeach()
  same(${kind}_one.svg ${kind}_two.svg)
endforeach()
same(evaluate_one_cost.svg evaluate_two_cost.svg)

# One traffic: names at the lines' ends.
function(hits path lru oracle)
  file(WRITE ${SCRATCH}/${path}
    "{\"traffic\": \"mine\", \"capacity_blocks\": [10, 100], \"hit_percent\": {${lru}, ${oracle}}}")
endfunction()
hits(close.json [=["lru": [10, 49.9]]=] [=["oracle": [20, 50]]=])
expect_output("" ${draw} replay ${SCRATCH}/close.json ${SCRATCH}/close.svg)
file(READ ${SCRATCH}/close.svg text)
if(NOT text MATCHES "<dc:source>close.json [0-9a-f]+</dc:source>")
  message(FATAL_ERROR "close.svg does not say what it was drawn from")
endif()
hits(long.json [=["lru": [10, 20]]=] [=["a_policy_whose_name_is_too_long_for_the_picture": [20, 50]]=])
expect_output("leaves the picture" ${draw} replay ${SCRATCH}/long.json ${SCRATCH}/long.svg)
if(EXISTS ${SCRATCH}/long.svg)
  message(FATAL_ERROR "a refused picture was written")
endif()
file(WRITE ${SCRATCH}/dense.json [=[
{"traffic": "mine", "capacity_blocks": [1000, 1001, 50000], "hit_percent": {"lru": [1, 2, 3]}}]=])
expect_output("lies over" ${draw} replay ${SCRATCH}/dense.json ${SCRATCH}/dense.svg)
expect_output("Draws the documents' pictures" ${draw} replay)
