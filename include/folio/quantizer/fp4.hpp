// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/detail/fp4_block.hpp>
#include <folio/quantizer/detail/group_lanes.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// Block-scaled fp4 quantization: stores an element as fp4 e2m1 (0, 0.5, 1, 1.5, 2, 3, 4 or 6, and a sign) times the
/// scale of its block. In a byte the first element is in the low half. Host and device.
///
/// Elements round to the nearest, ties to even. NVFP4 takes a block's largest magnitude to 6 by a scale that is rounded
/// to e4m3, after the float has taken the row's to 6 * 448. MXFP4, by the OCP Microscaling Formats specification 1.0,
/// has the scale 2^(e - 2), 2^e the largest power of two not above the largest magnitude, and saturates from 6 to 8.
///
/// `four_or_six` is another encoder of the same format (Four Over Six, arXiv 2512.02010). The float takes the row's
/// largest magnitude to 6 * 256. A block of the largest magnitude m has the scale e4m3(m / (6 * float)), or
/// e4m3(m / (4 * float)) where that makes the sum of its squared errors smaller: between 4 and 6 there is no element,
/// and a block that ends at 4 does not have this gap. An error counts in whole 2^-24ths of the second scale's square,
/// and as 4 such squares at most. Encoding rounds each element three times; decoding does not differ.
///
/// An infinity saturates at the largest of the block, a NaN becomes 0. Rows below 4e-35 (MXFP4: blocks below 2^-124)
/// become zeros. Without the float, blocks saturate at 6 * 448 and lose precision below 6 * 2^-6.
template <Fp4Scales scales, Fp4Largest largest_becomes = Fp4Largest::six>
struct Fp4Quantizer {
 private:
  using BlockScale = Fp4BlockScale<scales, largest_becomes>;
  static constexpr bool is_mx = BlockScale::is_mx, has_row_scale = scales == Fp4Scales::nvfp4;
  static constexpr std::int32_t block = is_mx ? 32 : 16, row_scale_bytes = has_row_scale ? 4 : 0;
  static constexpr char const* names[2][3] = {{"nvfp4", "nvfp4_static", "mxfp4"},
                                              {"nvfp4_4over6", "nvfp4_4over6_static", nullptr}};

 public:
  static constexpr char const* name = names[BlockScale::is_adaptive][static_cast<int>(scales)];
  static constexpr int bits = 4;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::decoded};  // the host's attention has no kernels for scales of blocks
  static constexpr std::int32_t params_dim = block;
  using Params = RowScale;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return row_scale_bytes + (dim + 4 * block - 1) / (4 * block) * 4;
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    float of_row = 1.0F;
    if constexpr (has_row_scale) of_row = row_scale(largest_finite_magnitude(row, dim));
    store_row_scale(of_row, dim, params);
    for (std::int32_t first = 0; first < dim; first += block) {
      std::int32_t const end = dim - first < block ? dim : first + block;
      float const largest = largest_finite_magnitude(row + first, end - first);
      BlockScale const best = BlockScale::best(largest, of_row, [&](BlockScale tried, float unit) {
        if (end - first == block) return tried.template error<block>(row + first, unit);
        std::int32_t sum = 0;
        for (std::int32_t i = first; i < end; i += 8) sum += tried.template error<8>(row + i, unit);
        return sum;
      });
      params[row_scale_bytes + first / block] = static_cast<std::byte>(best.pattern);
      if (end - first == block)
        store_codes(best.template round<block>(row + first), codes + first / 2);
      else
        for (std::int32_t i = first; i < end; i += 8) store_codes(best.template round<8>(row + i), codes + i / 2);
    }
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part,
                                          Pack<std::uint8_t, N / 2>& codes, std::byte* params) {
    float of_row = 1.0F;
    if constexpr (has_row_scale) of_row = row_scale(largest_finite_magnitude_by(lanes, part));
    if (lanes.rank() == 0) store_row_scale(of_row, lanes.dim(), params);
    constexpr int n = N < block ? N : block;
    for (int begin = 0; begin < N; begin += n) {
      Pack<float, n> piece;
      for (int i = 0; i < n; ++i) piece[i] = part[begin + i];
      GroupLanes<Lanes, n, block> const group(lanes, lanes.rank() * N + begin);
      float const largest = largest_finite_magnitude_by(group, piece);
      BlockScale const best = BlockScale::best(largest, of_row, [&](BlockScale tried, float unit) {
        return group.sum(tried.template error<n>(piece.v, unit));
      });
      if (group.is_first()) params[row_scale_bytes + group.first() / block] = static_cast<std::byte>(best.pattern);
      auto const encoded = best.template round<n>(piece.v);
      for (int i = 0; i < n / 2; ++i) codes[begin / 2 + i] = encoded[i];
    }
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    float of_row = 1.0F;
    if constexpr (has_row_scale) of_row = load_param<float>(params);
    return Params{BlockScale::load(static_cast<std::uint8_t>(params[row_scale_bytes + dim / block]), of_row).scale};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    float const scale = params.scale;
    auto const patterns = unpack_bits<4, N>(load_codes<std::uint8_t, N / 2>(codes));
    for (int i = 0; i < N; ++i) out[i] = e2m1_to_f32(patterns[i]) * scale;
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr float row_scale(float largest) {
    return symmetric_scaling(largest, BlockScale::row_max).scale;
  }

  /// And zeros where block scales end before a multiple of 4 bytes.
  FOLIO_HOST_DEVICE static void store_row_scale(float of_row, std::int32_t dim, std::byte* params) {
    if constexpr (has_row_scale) store_params(Pack<float, 1>{{of_row}}, params);
    for (std::int32_t i = row_scale_bytes + (dim + block - 1) / block; i < param_bytes(dim); ++i) params[i] = {};
  }
};

/// NVIDIA's format: 4.75 bits per element at 128, and 4.5 without the row's float, which callers fold where a tensor or
/// a head has one (see Fp8E4M3Static). Mean squared error 8.9e-3 on normally distributed rows, with outliers in a block
/// of their own. For hardware that multiplies it; Int4Rotated is as good in fewer bits.
using Nvfp4 = Fp4Quantizer<Fp4Scales::nvfp4>;
using Nvfp4Static = Fp4Quantizer<Fp4Scales::nvfp4_static>;

/// The same bytes from the encoder that tries two scales for each block: mean squared error 7.5e-3. Encoding takes
/// longer, see `four_or_six` above.
using Nvfp4FourOverSix = Fp4Quantizer<Fp4Scales::nvfp4, Fp4Largest::four_or_six>;
using Nvfp4FourOverSixStatic = Fp4Quantizer<Fp4Scales::nvfp4_static, Fp4Largest::four_or_six>;

/// The OCP's format: 4.25 bits per element. Mean squared error 1.3e-2.
using Mxfp4 = Fp4Quantizer<Fp4Scales::mxfp4>;

static_assert(QuantizerPolicy<Nvfp4> && QuantizerPolicy<Nvfp4Static> && QuantizerPolicy<Nvfp4FourOverSix> &&
              QuantizerPolicy<Nvfp4FourOverSixStatic> && QuantizerPolicy<Mxfp4>);

}  // namespace folio
