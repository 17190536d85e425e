// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The number formats that a model computes in, for kernels that read or write activations. Device code.

#include <cstdint>
#include <folio/config.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio::ops {

[[nodiscard]] FOLIO_HOST_DEVICE inline float load_element(float x) { return x; }
[[nodiscard]] FOLIO_HOST_DEVICE inline float load_element(Half x) { return f16_to_f32(x.bits); }
[[nodiscard]] FOLIO_HOST_DEVICE inline float load_element(BFloat16 x) { return bf16_to_f32(x.bits); }

FOLIO_HOST_DEVICE inline void store_element(float x, float& to) { to = x; }
FOLIO_HOST_DEVICE inline void store_element(float x, Half& to) { to.bits = f32_to_f16(x); }
FOLIO_HOST_DEVICE inline void store_element(float x, BFloat16& to) { to.bits = f32_to_bf16(x); }

/// The part of a row that a lane holds: zeros behind the row's end.
template <int N, class T, class Lanes>
[[nodiscard]] __device__ Pack<float, N> load_part(Lanes const& lanes, T const* row) {
  Pack<float, N> part;
  for (int i = 0; i < N; ++i) part[i] = lanes.active() ? load_element(row[lanes.rank() * N + i]) : 0.0F;
  return part;
}

template <int N, class T, class Lanes>
__device__ void store_part(Lanes const& lanes, Pack<float, N> const& part, T* row) {
  if (!lanes.active()) return;
  for (int i = 0; i < N; ++i) store_element(part[i], row[lanes.rank() * N + i]);
}

}  // namespace folio::ops
