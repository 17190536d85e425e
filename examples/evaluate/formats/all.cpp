// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The list of formats.

#include "../formats.hpp"

namespace evaluate {

std::span<Format const> all_formats() {
  static constexpr Format formats[] = {
      {"f32", "f32", "f32", make_f32, round_trip_f32},
      {"f16", "f16", "f16", make_f16, round_trip_f16},
      {"bf16", "bf16", "bf16", make_bf16, round_trip_bf16},
      {"fp8", "fp8 e4m3, a scale for each row", "fp8 e4m3, a scale for each row", make_fp8, round_trip_fp8},
      {"fp8_e5m2", "fp8 e5m2, a scale for each row", "fp8 e5m2, a scale for each row", make_fp8_e5m2,
       round_trip_fp8_e5m2},
      {"int8", "int8, a scale for each row", "int8, a scale for each row", make_int8, round_trip_int8},
      {"int8_g32", "int8, a scale for each 32 elements", "int8, a scale for each 32 elements", make_int8_g32,
       round_trip_int8_g32},
      {"int6", "int6", "int6", make_int6, round_trip_int6},
      {"int6_rotated", "int6, rotated", "int6, rotated", make_int6_rotated, round_trip_int6_rotated},
      {"k8v4", "int8", "int4, rotated", make_k8v4, nullptr},
      {"k4v8", "int4, rotated", "int8", make_k4v8, nullptr},
      {"int4", "int4, rotated", "int4, rotated", make_int4, round_trip_int4},
      {"int4_plain", "int4, not rotated", "int4, not rotated", make_int4_plain, round_trip_int4_plain},
      {"int4_g32", "int4, not rotated, a scale for each 32 elements", "int4, not rotated, a scale for each 32 elements",
       make_int4_g32, round_trip_int4_g32},
      {"nvfp4", "nvfp4", "nvfp4", make_nvfp4, round_trip_nvfp4},
      {"nvfp4_4over6", "nvfp4, of two scales the better", "nvfp4, of two scales the better", make_nvfp4_4over6,
       round_trip_nvfp4_4over6},
      {"mxfp4", "mxfp4", "mxfp4", make_mxfp4, round_trip_mxfp4},
      {"k4v2", "int4, rotated", "int2, rotated", make_k4v2, nullptr},
      {"k2v4", "int2, rotated", "int4, rotated", make_k2v4, nullptr},
      {"int3", "int3, rotated", "int3, rotated", make_int3, round_trip_int3},
      {"int2", "int2, rotated", "int2, rotated", make_int2, round_trip_int2},
      {"mixed_int4", "16 sinks and 64 newest in f16, then int4, rotated",
       "16 sinks and 64 newest in f16, then int4, rotated", make_mixed_int4, nullptr},
      {"mixed_int3", "16 sinks and 64 newest in f16, then int3, rotated",
       "16 sinks and 64 newest in f16, then int3, rotated", make_mixed_int3, nullptr},
      {"mixed_k4v2", "16 sinks and 64 newest in f16, then int4, rotated",
       "16 sinks and 64 newest in f16, then int2, rotated", make_mixed_k4v2, nullptr},
      {"mixed_int2", "16 sinks and 64 newest in f16, then int2, rotated",
       "16 sinks and 64 newest in f16, then int2, rotated", make_mixed_int2, nullptr},
      {"tail_int2", "64 newest in f16, else int2, rotated", "64 newest in f16, else int2, rotated", make_tail_int2,
       nullptr},
      {"kivi2", "64 newest in f16, else int2 for each channel of 64 tokens", "64 newest in f16, else int2, rotated",
       make_kivi2, nullptr},
      {"mixed_kivi2", "16 sinks and 64 newest in f16, then int2 for each channel of 64 tokens",
       "16 sinks and 64 newest in f16, then int2, rotated", make_mixed_kivi2, nullptr},
      {"mixed_two_sided2", "16 sinks and 64 newest in f16, then int2, two-sided, over 64 tokens",
       "16 sinks and 64 newest in f16, then int2, two-sided, over 64 tokens", make_mixed_two_sided2, nullptr},
  };
  return formats;
}

}  // namespace evaluate
