# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# The formats that evaluate measures, a line each: the name that --formats takes, how keys are stored and how values
# are where that differs, in words, what makes a store of it, and the policies. In serve's list
# (../../serve/caches/formats.cmake) are those that one would serve with; here are also those that show why not.
#
#   rows     keys and values in one format, which is scored by the rows it gives back as well
#   cache    any cache
#   mixed    the 16 first and the 64 newest tokens in f16, the others as the policies say; tail: the 64 newest alone;
#            tile: nothing in f16 but what fills no tile yet
set(sinks_and_tail "16 sinks and 64 newest in f16, then")
set(kivi4 "folio::BlockSize<64>, folio::Keys<folio::Int4PerChannel<64>>, folio::Values<folio::Int4Rotated>")
set(evaluate_formats
  "f32|f32||rows|folio::F32"  # the reference is the first
  "f16|f16||rows|folio::F16"
  "bf16|bf16||rows|folio::BF16"
  "fp8|fp8 e4m3, a scale for each row||rows|folio::Fp8E4M3"
  "fp8_e5m2|fp8 e5m2, a scale for each row||rows|folio::Fp8E5M2"
  "int8|int8, a scale for each row||rows|folio::Int8PerToken"
  "int8_g32|int8, a scale for each 32 elements||rows|folio::Int8PerGroup<32>"
  "int6|int6||rows|folio::Int6PerToken"
  "int6_rotated|int6, rotated||rows|folio::Int6Rotated"
  "k8v4|int8|int4, rotated|cache|folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>"
  "k4v8|int4, rotated|int8|cache|folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int8PerToken>"
  "int4|int4, rotated||rows|folio::Int4Rotated"
  "int4_plain|int4, not rotated||rows|folio::Int4PerToken"
  "int4_g32|int4, not rotated, a scale for each 32 elements||rows|folio::Int4PerGroup<32>"
  "nvfp4|nvfp4||rows|folio::Nvfp4"
  "nvfp4_4over6|nvfp4, of two scales the better||rows|folio::Nvfp4FourOverSix"
  "mxfp4|mxfp4||rows|folio::Mxfp4"
  "k4v2|int4, rotated|int2, rotated|cache|folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int2Rotated>"
  "k2v4|int2, rotated|int4, rotated|cache|folio::Keys<folio::Int2Rotated>, folio::Values<folio::Int4Rotated>"
  "int3|int3, rotated||rows|folio::Int3Rotated"
  "int2|int2, rotated||rows|folio::Int2Rotated"
  "mixed_int4|${sinks_and_tail} int4, rotated||mixed|folio::Int4Rotated"
  "mixed_int3|${sinks_and_tail} int3, rotated||mixed|folio::Int3Rotated"
  "mixed_k4v2|${sinks_and_tail} int4, rotated|${sinks_and_tail} int2, rotated|mixed|folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int2Rotated>"
  "mixed_int2|${sinks_and_tail} int2, rotated||mixed|folio::Int2Rotated"
  "tail_int2|64 newest in f16, else int2, rotated||tail|folio::Int2Rotated"
  "kivi2|64 newest in f16, else int2 for each channel of 64 tokens|64 newest in f16, else int2, rotated|tail|folio::BlockSize<64>, folio::Keys<folio::Int2PerChannel<64>>, folio::Values<folio::Int2Rotated>"
  "mixed_kivi2|${sinks_and_tail} int2 for each channel of 64 tokens|${sinks_and_tail} int2, rotated|mixed|folio::BlockSize<64>, folio::Keys<folio::Int2PerChannel<64>>, folio::Values<folio::Int2Rotated>"
  "mixed_two_sided2|${sinks_and_tail} int2, two-sided, over 64 tokens||mixed|folio::BlockSize<64>, folio::Keys<folio::Int2TwoSidedKeys<64>>, folio::Values<folio::Int2TwoSidedValues<64>>"
  "tile_kivi4|int4 for each channel of 64 tokens|int4, rotated|tile|${kivi4}"
  "kivi4|64 newest in f16, else int4 for each channel of 64 tokens|64 newest in f16, else int4, rotated|tail|${kivi4}"
  "mixed_kivi4|${sinks_and_tail} int4 for each channel of 64 tokens|${sinks_and_tail} int4, rotated|mixed|${kivi4}")

if(FOLIO_SANITIZE)  # instrumented code takes long to compile: what evaluate_test.cmake asks for, all kinds among it
  list(FILTER evaluate_formats INCLUDE REGEX "^(f32|f16|int8|k8v4|int4|int2|mixed_int2|tile_kivi4|kivi4)\\|")
endif()

# Sets evaluate_sources: a few formats in each, so that they compile side by side, and the list.
function(evaluate_add_formats)
  set(sources)
  set(declarations)
  set(definitions)
  set(formats)
  set(number 0)
  list(LENGTH evaluate_formats num_formats)
  foreach(line IN LISTS evaluate_formats)
    string(REGEX MATCH "^([^|]+)\\|([^|]+)\\|([^|]*)\\|(rows|cache|mixed|tail|tile)\\|(.+)$" matched "${line}")
    if(NOT matched)
      message(FATAL_ERROR "evaluate: a format is NAME|KEYS|VALUES or nothing|rows, cache, mixed, tail or tile|POLICIES, "
        "which this line is not: ${line}")
    endif()
    set(name ${CMAKE_MATCH_1})
    set(keys "${CMAKE_MATCH_2}")
    set(values "${CMAKE_MATCH_3}")
    set(kind ${CMAKE_MATCH_4})
    set(policies "${CMAKE_MATCH_5}")
    if(NOT values)
      set(values "${keys}")
    endif()
    set(round_trip nullptr)
    string(APPEND declarations "MakeStore make_${name};\n")
    string(APPEND definitions "std::unique_ptr<Store> make_${name}(StoreRequest const& request) {\n"
      "  return make_${kind}_store<${policies}>(request);\n}\n")
    if(kind STREQUAL "rows")
      set(round_trip round_trip_${name})
      string(APPEND declarations "RoundTrip round_trip_${name};\n")
      string(APPEND definitions "void round_trip_${name}(float* rows, std::int64_t num_rows, std::int32_t dim) {\n"
        "  round_trip<${policies}>(rows, num_rows, dim);\n}\n")
    endif()
    string(APPEND formats "      {\"${name}\", \"${keys}\", \"${values}\", make_${name}, ${round_trip}},\n")
    math(EXPR number "${number} + 1")
    math(EXPR rest "${number} % 3")
    if(rest EQUAL 0 OR number EQUAL num_formats)
      set(source ${CMAKE_CURRENT_BINARY_DIR}/formats/until_${name}.cpp)
      configure_file(formats/formats.cpp.in ${source} @ONLY)
      list(APPEND sources ${source})
      set(definitions)
    endif()
  endforeach()
  set(list ${CMAKE_CURRENT_BINARY_DIR}/formats/list.cpp)
  configure_file(formats/list.cpp.in ${list} @ONLY)
  set(evaluate_sources ${sources} ${list} PARENT_SCOPE)
endfunction()
