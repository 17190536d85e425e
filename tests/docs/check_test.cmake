# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# check.cmake finds each kind of defect in a small repository in a scratch folder, and mends what it says it mends.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/expect.cmake)

set(check ${CMAKE_COMMAND} -DROOT=${SCRATCH} -P ${CMAKE_CURRENT_LIST_DIR}/check.cmake)
file(REMOVE_RECURSE ${SCRATCH})
file(WRITE ${SCRATCH}/CMakePresets.json [[
{"workflowPresets": [{"name": "test"}], "buildPresets": [{"name": "fast"}], "configurePresets": [{"name": "fast"}]}
]])
file(WRITE ${SCRATCH}/docs/other.md "# Other\n\n## A heading, with `code`!\n")
file(WRITE ${SCRATCH}/src/hidden.cpp "// [a]\n// [/a]\n")
file(WRITE ${SCRATCH}/examples/a.cpp [[
int main() {
  // [loop]
  for (int i = 0; i < 3; ++i) {
    // [inner]
    int x[2] = {i, '\n'};
    // [/inner]

    use(x[0]);
  }
  // [/loop]
}
// [open]
// [twice]
// [/twice]
// [twice]
// [/twice]
]])
set(right [[
<!-- snippet: examples/a.cpp#loop -->
```cpp
for (int i = 0; i < 3; ++i) {
  int x[2] = {i, '\n'};

  use(x[0]);
}
```
]])

# expect(<regex> <text of README.md>): the check fails on it and says so; "" as regex: it passes.
function(expect regex text)
  file(WRITE ${SCRATCH}/README.md "${text}")
  expect_output("${regex}" ${check})
endfunction()

expect("" "${right}")
expect("" "1. In a list:\n\n   <!-- snippet: examples/a.cpp#inner -->\n\n   ```cpp\n   int x[2] = {i, '\\n'};\n   ```\n")
string(REPLACE "i < 3" "i < 4" wrong "${right}")
expect("README.md:2: this block differs from examples/a.cpp#loop" "${wrong}")
string(REPLACE "\n\n" "\n" wrong "${right}")
expect("differs" "${wrong}")
string(REPLACE "  use" "    use" wrong "${right}")
expect("differs" "${wrong}")
expect("this cpp block has no line" "```cpp\nint x;\n```\n")
expect("this cuda block has no line" "${right}```cuda\nint x;\n```\n")
expect("and not \"c\\+\\+\"" "```c++\nint x;\n```\n")
expect("and not \"\"" "```\nint x;\n```\n")
expect("names a file that does not exist" "<!-- snippet: examples/b.cpp#loop -->\n```cpp\n```\n")
expect("is not of the form" "<!-- snippet: src/hidden.cpp#a -->\n```cpp\n```\n")
expect("has no marks .none. and" "<!-- snippet: examples/a.cpp#none -->\n```cpp\n```\n")
expect("has no marks .open. and" "<!-- snippet: examples/a.cpp#open -->\n```cpp\n```\n")
expect("marks twice" "<!-- snippet: examples/a.cpp#twice -->\n```cpp\n```\n")
expect("no block follows" "<!-- snippet: examples/a.cpp#loop -->\nwords\n")
expect("does not end" "<!-- snippet: examples/a.cpp#loop -->\n```cpp\n")
expect("" "[other](docs/other.md#a-heading-with-code), [here](#title), [there](https://example.org/x)\n# Title\n")
expect("docs/none.md leads nowhere" "[other](docs/other.md), [none](docs/none.md)\n")
expect("docs/other.md#no leads to no heading" "[other](docs/other.md#no)\n")
expect("" "```sh\ncmake --workflow --preset test\ncmake --build --preset fast\n```\n")
expect("there is no workflow preset fast" "```sh\ncmake --workflow --preset fast\n```\n")
expect("there is no build preset test" "Run `cmake --build --preset test`.\n")
expect("" "```sh\ncmake --preset fast\nbuild/fast/serve\n/home.of/build/other\n```\n")
expect("README.md:3: build/examples is the build folder of no preset" "# A\n```sh\nbuild/examples/serve\n```\n")

# Documents of examples are looked at, too.
file(WRITE ${SCRATCH}/examples/a/README.md "[none](none.md)\n")
expect("examples/a/README.md:1: the link none.md leads nowhere" "")
file(REMOVE ${SCRATCH}/examples/a/README.md)

# Pictures are shown, and of the figures that are recorded.
file(WRITE ${SCRATCH}/bench/results/a.json "1")
file(SHA256 ${SCRATCH}/bench/results/a.json digest)
file(WRITE ${SCRATCH}/docs/images/a.svg "<svg><dc:source>bench/results/a.json ${digest}</dc:source></svg>")
expect("" "![a](docs/images/a.svg)\n")
expect("docs/images/a.svg: no document shows it" "[a](docs/other.md)\n")
file(WRITE ${SCRATCH}/bench/results/a.json "2")
expect("docs/images/a.svg: shows other figures than bench/results/a.json has now" "![a](docs/images/a.svg)\n")
file(WRITE ${SCRATCH}/docs/images/a.svg "<svg></svg>")
expect("docs/images/a.svg: does not name the recorded figures" "![a](docs/images/a.svg)\n")
file(REMOVE ${SCRATCH}/docs/images/a.svg)

# UPDATE gives the right text back, at the block's own indentation, and touches nothing else.
string(REPLACE "i < 3" "i < 4" wrong "${right}")
file(WRITE ${SCRATCH}/README.md "# Title; [x]: \\n\n\n${wrong}\nthe end\n")
execute_process(COMMAND ${CMAKE_COMMAND} -DUPDATE=ON -DROOT=${SCRATCH} -P ${CMAKE_CURRENT_LIST_DIR}/check.cmake
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(READ ${SCRATCH}/README.md text)
if(NOT text STREQUAL "# Title; [x]: \\n\n\n${right}\nthe end\n")
  message(FATAL_ERROR "UPDATE made:\n${text}")
endif()
expect_output("" ${check})
