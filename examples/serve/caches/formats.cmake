# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# The formats of serve's caches, a line each: the name that --quantizer takes, where caches of it can be (host, or cuda:
# in a GPU's memory, too), and the policies. FORMAT+NAME: what --quantizer FORMAT --demote NAME takes, on the host. From
# each line come a source for the host and one for CUDA, which compile side by side, the lists of names, --help and the
# tests. Those that demote stand in the order of their bits, the most first: a test goes by it.
set(serve_formats
  "f32|cuda|folio::F32"
  "f16|cuda|folio::F16"
  "bf16|host|folio::BF16"
  "fp8|host|folio::Fp8E4M3"
  "int8|cuda|folio::Int8PerToken"
  "int6|host|folio::Int6Rotated"
  "int4|cuda|folio::Int4Rotated"
  "k8v4|cuda|folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>"  # int8 keys, int4 values
  "f16+int8|host|folio::F16, folio::Demote<folio::Int8PerToken>"
  "f16+k8v4|host|folio::F16, folio::Demote<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>"
  "f16+int4|host|folio::F16, folio::Demote<folio::Int4Rotated>"
  "f16+int2|host|folio::F16, folio::Demote<folio::Int2Rotated>")
if(FOLIO_SANITIZE)  # instrumented code takes long to compile: the tests of ops/ and random programs have these formats
  list(FILTER serve_formats EXCLUDE REGEX "^(int6|f16\\+k8v4)\\|")
endif()

set(FOLIO_SERVE_HEAD_DIMS "32, 64, 80, 96, 128, 256" CACHE STRING
  "Head dims that serve's caches on the host are compiled for, multiples of 8 from 16 on; each takes its time in every format")

# serve_add_formats(<host | cuda>): sets serve_<host | cuda>_sources, serve_<host | cuda>_names to "f32, f16, ..", and
# serve_<host | cuda>_demoted_names to what --demote takes.
function(serve_add_formats device)
  set(sources)
  set(names)
  set(demoted_names)
  set(declarations)
  set(makers)
  foreach(line IN LISTS serve_formats)
    string(REGEX MATCH "^([^|]+)\\|(host|cuda)\\|(.+)$" matched "${line}")
    if(NOT matched)
      message(FATAL_ERROR "serve: a format is NAME|host or cuda|POLICIES, which this line is not: ${line}")
    endif()
    set(format ${CMAKE_MATCH_1})
    set(where ${CMAKE_MATCH_2})
    set(policies "${CMAKE_MATCH_3}")
    if(device STREQUAL "cuda" AND NOT where STREQUAL "cuda")
      continue()
    endif()
    set(dims "folio::HeadDims<${FOLIO_SERVE_HEAD_DIMS}>")
    if(FOLIO_SANITIZE AND NOT format STREQUAL "f32")
      set(dims DemotingHeadDims)  # instrumented code takes long to compile; the other builds have all
    endif()
    if(format MATCHES "\\+(.+)$")
      list(APPEND demoted_names ${CMAKE_MATCH_1})
      set(dims DemotingHeadDims)
    else()
      list(APPEND names ${format})
    endif()
    string(MAKE_C_IDENTIFIER ${format} name)
    if(device STREQUAL "cuda")
      set(dims "folio::HeadDims<64, 128>")  # nvcc compiles every kernel for every generation of GPUs
      if(FOLIO_BUILD_TESTS)
        set(dims "folio::HeadDims<64>")  # the bundled model's: that it compiles is what this build is for
      endif()
      set(source ${CMAKE_CURRENT_BINARY_DIR}/caches/cuda_${name}.cu)
      configure_file(caches/cuda_format.cu.in ${source} @ONLY)
    else()
      set(source ${CMAKE_CURRENT_BINARY_DIR}/caches/${name}.cpp)
      configure_file(caches/host_format.cpp.in ${source} @ONLY)
    endif()
    list(APPEND sources ${source})
    string(APPEND declarations "MakeCache make_${device}_${name}_cache;\n")
    string(APPEND makers "      {\"${format}\", make_${device}_${name}_cache},\n")
  endforeach()
  set(list ${CMAKE_CURRENT_BINARY_DIR}/caches/${device}_caches.cpp)
  configure_file(caches/list.cpp.in ${list} @ONLY)
  list(APPEND sources ${list})
  list(JOIN names ", " names)
  list(JOIN demoted_names ", " demoted_names)
  set(serve_${device}_sources ${sources} PARENT_SCOPE)
  set(serve_${device}_names "${names}" PARENT_SCOPE)
  set(serve_${device}_demoted_names "${demoted_names}" PARENT_SCOPE)
endfunction()
