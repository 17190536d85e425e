# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DSCRATCH=<folder> -P tests/headers/mirror_test.cmake
#
# mirror.cmake passes a small tree that is whole, and finds each defect that is planted in it.

set(check ${CMAKE_CURRENT_LIST_DIR}/mirror.cmake)

# A tree of two headers of a room, of which one has a test and the other a line; then `path` with `content` instead.
function(expect what sentence path content)
  file(REMOVE_RECURSE ${SCRATCH})
  file(WRITE ${SCRATCH}/include/folio/a/x.hpp "")
  file(WRITE ${SCRATCH}/include/folio/a/y.cuh "")
  file(WRITE ${SCRATCH}/tests/a/x_test.cpp "")
  file(WRITE ${SCRATCH}/tests/headers/mirror.txt "# a comment\na/y.cuh: a part of x: a/x_test.cpp\n")
  if(path)
    file(WRITE ${SCRATCH}/${path} "${content}")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${SCRATCH} -P ${check} RESULT_VARIABLE result OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(sentence STREQUAL "" AND NOT result EQUAL 0)
    message(FATAL_ERROR "${what}: refused:\n${output}")
  elseif(NOT sentence STREQUAL "" AND (result EQUAL 0 OR NOT output MATCHES "${sentence}"))
    message(FATAL_ERROR "${what}: not found, or not in these words (${sentence}):\n${output}")
  endif()
endfunction()

expect("a whole tree" "" "" "")
expect("a header without a test" "b\\.hpp: there is no tests/b_test\\.cpp" include/folio/b.hpp "")
expect("CUDA code without a test" "a/z\\.cuh: there is no tests/a/z_cuda_test\\.cpp" include/folio/a/z.cuh "")
expect("a test of CUDA code that comes" "a/y\\.cuh has a test of its name" tests/a/y_cuda_test.cpp "")
set(list tests/headers/mirror.txt)
expect("no list" "a/y\\.cuh: there is no" ${list} "")
expect("a line of nothing" "there is no a/gone\\.hpp" ${list} "a/y.cuh: a/x_test.cpp\na/gone.hpp: a reason\n")
expect("two lines" "a/y\\.cuh has two lines" ${list} "a/y.cuh: a reason\na/y.cuh: another\n")
expect("no reason" "cannot read: a/y\\.cuh" ${list} "a/y.cuh\n")
expect("a test that went" "there is no tests/a/gone_test\\.cpp" ${list} "a/y.cuh: tested by a/gone_test.cpp\n")
