# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# include_graph.cmake finds each kind of defect: small trees with one defect each, in a scratch folder.
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

# expect(<regex> [<header> <its include lines>]...): the tree is refused with that text; "" as regex: it is accepted.
function(expect regex)
  file(REMOVE_RECURSE ${SCRATCH})
  list(POP_FRONT ARGV)
  while(ARGV)
    list(POP_FRONT ARGV header includes)
    string(REPLACE " " "\n#include " includes "${includes}")
    file(WRITE ${SCRATCH}/folio/${header} "#include ${includes}\n")
  endwhile()
  expect_output("${regex}" ${CMAKE_COMMAND} -DINCLUDE_DIR=${SCRATCH} -P ${CMAKE_CURRENT_LIST_DIR}/include_graph.cmake)
endfunction()

expect("" view.hpp "<folio/quantizer/f32.hpp> <array>" quantizer/f32.hpp "<folio/block.hpp>" block.hpp "<cstdint>")
expect("include cycle: .*folio/b.hpp -> folio/a.hpp" a.hpp <folio/b.hpp> b.hpp <folio/a.hpp>)
expect("folio/1.hpp is 11 headers deep" 1.hpp <folio/2.hpp> 2.hpp <folio/3.hpp> 3.hpp <folio/4.hpp> 4.hpp <folio/5.hpp>
  5.hpp <folio/6.hpp> 6.hpp <folio/7.hpp> 7.hpp <folio/8.hpp> 8.hpp <folio/9.hpp>
  9.hpp <folio/10.hpp> 10.hpp <folio/11.hpp> 11.hpp <array>)
expect("view.hpp reaches folio/error.hpp" view.hpp <folio/block.hpp> block.hpp <folio/error.hpp> error.hpp <string>)
expect("a policy includes the vocabulary" layout/a.hpp <folio/layout/b.hpp> layout/b.hpp <array>)
expect("a policy includes the vocabulary" layout/a.hpp <folio/quantizer/f32.hpp> quantizer/f32.hpp <array>)
expect("a.hpp includes folio/ops/b.hpp: a room stands" a.hpp <folio/ops/b.hpp> ops/b.hpp <array>)
expect("detail/a.hpp includes folio/ops/b.hpp: a room stands" detail/a.hpp <folio/ops/b.hpp> ops/b.hpp <array>)
expect("kernels/a.hpp includes folio/attention/b.hpp: a room stands" kernels/a.hpp <folio/attention/b.hpp> attention/b.hpp <array>)
expect("" ops/a.hpp <folio/attention/host/b.hpp> attention/host/b.hpp <folio/c.hpp> c.hpp <folio/prefix/d.hpp>
  prefix/d.hpp <folio/detail/e.hpp> detail/e.hpp <folio/block.hpp> block.hpp <array>)
expect("includes cuda_fp16.h" a.hpp <cuda_fp16.h>)
expect("includes cub/cub.cuh" a.hpp <cub/cub.cuh>)
expect("includes cooperative_groups.h" a.hpp <cooperative_groups.h>)
expect("includes folio/a.cuh" a.hpp <folio/a.cuh> a.cuh <cub/cub.cuh>)
expect("" a.cuh <cub/cub.cuh>)
expect("which does not exist" a.hpp <folio/b.hpp>)
expect("as a user would" a.hpp "\"b.hpp\"" b.hpp <array>)
