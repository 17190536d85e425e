# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# check.cmake finds each kind of cost: in planted.cu, and where registers are forced to spill.
#
#   cmake -DNVCC=nvcc -DREADELF=readelf -DINCLUDE_DIR=include -DSCRATCH=<folder> -P tests/no_cost/check_test.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

# expect(<regex> <more definitions>...): the check fails and says so.
function(expect regex)
  expect_output("${regex}" ${CMAKE_COMMAND} -DNVCC=${NVCC} -DREADELF=${READELF} -DINCLUDE_DIR=${INCLUDE_DIR}
    -DARCHITECTURES=90 -DSCRATCH=${SCRATCH} ${ARGN} -P ${CMAKE_CURRENT_LIST_DIR}/check.cmake)
endfunction()

set(planted -DSOURCE=${CMAKE_CURRENT_LIST_DIR}/planted.cu)
set(f16 "f16: the registers differ sm_90 f16: the global loads differ sm_90 f16: the instructions differ by more than 3 %")
expect("${f16}.*int8: the instructions differ" ${planted})
expect("0 kernels match view\\.\\*IntQuantizerILi4E" ${planted})
expect("load of f16: 4x4, not 1x16" ${planted})
expect("load of f16_to_half: 4x4, not 1x16.*load of f16_to_half: [0-9]+ conversions" ${planted})
expect("bytes of registers are spilled" -DFLAGS=-maxrregcount=24)
expect("does not compile for sm_90" -DSOURCE=nothing.cu)
