# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# check.cmake refuses files that prove nothing.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

# expect(<regex> <source text>): the check fails on it and says so; "" as regex: it passes.
function(expect regex source)
  file(WRITE ${SCRATCH}/planted.cpp "${source}")
  expect_output("${regex}" ${CMAKE_COMMAND} -DCOMPILER=${COMPILER} -DINCLUDE_DIR=${INCLUDE_DIR}
    -DSOURCE=${SCRATCH}/planted.cpp -P ${CMAKE_CURRENT_LIST_DIR}/check.cmake)
endfunction()

set(guarded "#ifndef FOLIO_EXPECT_OK\nstatic_assert(false, \"a sentence\");  // expected-error: ")
expect("" "${guarded}a sent[a-z]+ce\n#endif\n")
expect("does not say \"another sentence\"" "${guarded}another sentence\n#endif\n")
expect("does not say \"second\"" "${guarded}a sentence\n// expected-error: second\n#endif\n")
expect("compiles, and must not" "// expected-error: a sentence\nint x;\n")
expect("more than the guarded lines" "${guarded}a sentence\n#endif\nint x = y;\n")
expect("has no line: // expected-error" "int x = y;\n")
