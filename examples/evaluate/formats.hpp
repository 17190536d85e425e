// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The formats that evaluate is compiled for.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "store.hpp"

namespace evaluate {

/// The head dims that caches are compiled for.
using HeadDims = std::integer_sequence<std::int32_t, 64, 128>;

/// A store for the model's head dim, or nullptr when it is compiled for none.
using MakeStore = std::unique_ptr<Store>(StoreRequest const& request);
/// Encodes and decodes rows of `dim` floats in place: what a cache would have given back.
using RoundTrip = void(float* rows, std::int64_t num_rows, std::int32_t dim);

/// How keys and values are stored.
struct Format {
  std::string_view name;          ///< what --formats calls it
  std::string_view keys, values;  ///< what it is
  MakeStore* make;
  RoundTrip* round_trip;  ///< of the sensitivity scores; null: keys and values differ, or rows are not stored alone
};

/// All of them, the reference first. From formats/all.cpp.
[[nodiscard]] std::span<Format const> all_formats();

// One or a few in each source of formats/, so that they compile side by side.
MakeStore make_f32, make_f16, make_bf16, make_fp8, make_fp8_e5m2, make_nvfp4, make_nvfp4_4over6, make_mxfp4, make_int8,
    make_int8_g32, make_int6, make_int6_rotated, make_int4, make_int4_plain, make_int4_g32, make_int3, make_int2,
    make_k8v4, make_k4v8, make_k4v2, make_k2v4, make_mixed_int4, make_mixed_int3, make_mixed_int2, make_mixed_k4v2,
    make_tail_int2, make_kivi2, make_mixed_kivi2, make_mixed_two_sided2;
RoundTrip round_trip_f32, round_trip_f16, round_trip_bf16, round_trip_fp8, round_trip_fp8_e5m2, round_trip_nvfp4,
    round_trip_nvfp4_4over6, round_trip_mxfp4, round_trip_int8, round_trip_int8_g32, round_trip_int6,
    round_trip_int6_rotated, round_trip_int4, round_trip_int4_plain, round_trip_int4_g32, round_trip_int3,
    round_trip_int2;

}  // namespace evaluate
