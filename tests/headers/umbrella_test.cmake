# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# umbrella.cmake finds each kind of defect in a scratch folder.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

# plant(<row of quickstart.md> <headers of README's row> <policy beyond the twenty of a.hpp>)
function(plant quickstart headers policy)
  file(REMOVE_RECURSE ${SCRATCH})
  set(policies "`${policy}`")
  set(defined)
  foreach(i RANGE 1 20)
    string(APPEND policies ", `Policy${i}`")
    string(APPEND defined "struct Policy${i} {};\n")
  endforeach()
  file(WRITE ${SCRATCH}/README.md "| question | policies | header |\n|---|---|---|\n| Which? | ${policies} | ${headers} |\n")
  file(WRITE ${SCRATCH}/docs/quickstart.md "${quickstart}\n")
  file(WRITE ${SCRATCH}/include/folio/folio.hpp "#include <folio/a.hpp>\n")
  file(WRITE ${SCRATCH}/include/folio/cuda.cuh "#include <folio/x.cuh>\n")
  file(WRITE ${SCRATCH}/include/folio/x.cuh "#include <folio/of_b.hpp>\n")
  file(WRITE ${SCRATCH}/include/folio/a.hpp "${defined}")
  file(WRITE ${SCRATCH}/include/folio/b/b.hpp "#include <folio/of_b.hpp>\nstruct Other {};\n")
  file(WRITE ${SCRATCH}/include/folio/of_b.hpp "")
endfunction()

# expect(<regex> <arguments of plant>...): the check fails and says so; "" as regex: it passes.
function(expect regex quickstart headers policy)
  plant("${quickstart}" "${headers}" "${policy}")
  expect_output("${regex}" ${CMAKE_COMMAND} -DROOT=${SCRATCH} -P ${CMAKE_CURRENT_LIST_DIR}/umbrella.cmake)
endfunction()

expect("" "| `folio/b/b.hpp` | b |" "`folio/b/b.hpp`" Other)
expect("" "| `folio/b/` | b |" "`folio/b/`" Other)
expect("folio/b/b.hpp is not in folio.hpp or cuda.cuh" "no table" "" Policy1)
expect("folio/of_b.hpp is not in folio.hpp or cuda.cuh" "no table" "" Policy1)  # the host's, and only CUDA's umbrella has it
expect("lists folio/c.hpp, which does not exist" "| `folio/b/b.hpp`, `folio/c.hpp` | b |" "" Policy1)
expect("says that folio/a.hpp is not in folio.hpp, but it is" "| `folio/b/b.hpp`, `folio/a.hpp` | b |" "" Policy1)
expect("names the policy Other, which is neither in folio.hpp nor" "| `folio/b/b.hpp` | b |" "" Other)
expect("names the policy Nowhere" "| `folio/b/b.hpp` | b |" "`folio/b/b.hpp`" Nowhere)
