// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A storage format of one's own: a plain struct that meets QuantizerPolicy.

#include <cstring>
#include <folio/quantizer/scaling.hpp>

// [quantizer]
/// Integers from -127 to 127 with one scale for each 32 elements, so that an outlier costs accuracy only in its own
/// group: 9 bits per element. The error is at most half a scale.
struct Int8PerGroup {
  static constexpr char const* name = "int8_per_group";
  static constexpr int bits = 8;                                           // of one code
  static constexpr folio::Basis basis = folio::Basis::model;               // decoded elements are the model's own
  static constexpr std::int32_t params_dim = 32;                           // elements that share what load_params reads
  static constexpr folio::RowFormat row_format{folio::Elements::decoded};  // attention on the host decodes rows first
  struct Params {
    float scale;
  };

  FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return (dim + params_dim - 1) / params_dim * static_cast<std::int32_t>(sizeof(float));
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    for (std::int32_t begin = 0; begin < dim; begin += params_dim, params += sizeof(float)) {
      std::int32_t const end = begin + params_dim < dim ? begin + params_dim : dim;
      folio::Scaling const scaling =
          folio::symmetric_scaling(folio::largest_finite_magnitude(row + begin, end - begin), 127.0F);
      std::memcpy(params, &scaling.scale, sizeof(float));
      for (std::int32_t i = begin; i < end; ++i) {
        float const scaled = folio::nan_to_zero(folio::saturate(row[i] * scaling.inverse, 127.0F));
        codes[i] = static_cast<std::byte>(folio::round_to_int(scaled));
      }
    }
  }

  FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    return {folio::load_param<float>(params + dim / params_dim * static_cast<std::int32_t>(sizeof(float)))};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    auto const integers = folio::load_codes<std::int8_t, N>(codes);  // one vector load in a kernel
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(integers[i]) * params.scale;
  }

  // [cooperative]
  /// The same by several threads, which hold N elements each: what ops::append does in a kernel.
  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, folio::Pack<float, N> const& part,
                                          folio::Pack<std::uint8_t, N>& codes, std::byte* params) {
    static_assert(N <= params_dim, "a thread's elements share one scale");
    float largest = 0;
    for (int i = 0; i < N; ++i) {
      float const magnitude = part[i] < 0 ? -part[i] : part[i];
      if (magnitude <= 0x1.FFFFFEp127F && magnitude > largest) largest = magnitude;  // finite ones
    }
    for (int distance = 1; distance * N < params_dim; distance *= 2) {  // the other threads of this group
      float const other = lanes.exchange(largest, distance);
      largest = other > largest ? other : largest;
    }
    folio::Scaling const scaling = folio::symmetric_scaling(largest, 127.0F);
    int const begin = lanes.rank() * N;
    if (begin % params_dim == 0 && lanes.active())
      std::memcpy(params + begin / params_dim * static_cast<int>(sizeof(float)), &scaling.scale, sizeof(float));
    for (int i = 0; i < N; ++i)
      codes[i] = static_cast<std::uint8_t>(
          folio::round_to_int(folio::nan_to_zero(folio::saturate(part[i] * scaling.inverse, 127.0F))));
  }
  // [/cooperative]
};
static_assert(folio::QuantizerPolicy<Int8PerGroup>);
// [/quantizer]
