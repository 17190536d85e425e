# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# cmake/checks/sources.cmake finds each kind of defect in a scratch folder.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

# expect(<regex> <file> <its text>...): the check fails on it and says so; "" as regex: it passes.
# The text may be in parts, so that this file does not hold what it plants.
function(expect regex file)
  file(REMOVE_RECURSE ${SCRATCH})
  string(CONCAT text ${ARGN})
  file(WRITE ${SCRATCH}/${file} "${text}")
  expect_output("${regex}" ${CMAKE_COMMAND} -DROOT=${SCRATCH}
    -P ${CMAKE_CURRENT_LIST_DIR}/../../cmake/checks/sources.cmake)
endfunction()

set(spdx "SPDX-FileCopyrightText: 2026 The Folio Authors\n")
set(cpp "// ${spdx}// SPDX-License-Identifier: Apache-2.0\n")
string(REPLACE "// " "# " script "${cpp}")
string(ASCII 226 128 148 em_dash)

expect("" a.cpp "${cpp}int x;\n")
expect("" a.hpp "${cpp}#pragma once\n")
expect("" run "#!/bin/sh\n${script}")
expect("" a.md "Prose about https://example.org/work/of/others and build/work/x.\n")
expect("a.cpp: does not begin with the two SPDX lines" a.cpp "int x;\n")
expect("a.cpp: does not begin" a.cpp "// ${spdx}\nint x;\n")
expect("a.cpp: does not begin" a.cpp "\n${cpp}int x;\n")
expect("CMakeLists.txt: does not begin" CMakeLists.txt "project(x)\n")
expect("a.hpp: has no #pragma once" a.hpp "${cpp}int x;\n")
expect("a.md: a path of one machine" a.md "See /hom" "e/someone/x.\n")
expect("a.json: a path of one machine" a.json "{\"file\": \"/wor" "k/main/x\"}\n")
expect("a.md: an em dash" a.md "One ${em_dash} two.\n")
expect("a.cpp: work left for later" a.cpp "${cpp}// TO" "DO: this\n")
