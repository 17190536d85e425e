// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels that change rows where they are or on their way to another cache, and those that move blocks, compiled by
// nvcc through their launchers: rotate, requantize, copy_blocks, copy_pieces, copy_rows,
// swap.
#include <folio/folio.hpp>
#include <folio/ops/copy_blocks.cuh>
#include <folio/ops/copy_pieces.cuh>
#include <folio/ops/copy_rows.cuh>
#include <folio/ops/reposition.cuh>
#include <folio/ops/requantize.cuh>
#include <folio/ops/swap.cuh>

namespace {

using namespace folio;

constexpr ModelConfig full_and_latent{
    .kv_heads = 2, .head_dim = 64, .groups = {full_attention(), latent(128, 64)}, .pattern = dynamic_pattern};

template <ModelConfig config, class... Policies>
void compile_rotate() {
  using View = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] void (*volatile rotate)(DeviceView<View> const&, std::int32_t, Tokens const&, ops::RopeTurn const*,
                                           std::int32_t, ops::RopePairs, cudaStream_t) = ops::reposition<View>;
}

/// From a cache in one format, in the default layout, to one with `Policies`.
template <ModelConfig config, class Format, class... Policies>
void compile_requantize() {
  using From = typename KvCache<Model<config>, Format>::View;
  using To = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] void (*volatile requantize)(DeviceView<From> const&, std::int32_t, Tokens const&,
                                               DeviceView<To> const&, Tokens const&, cudaStream_t) =
      ops::requantize<From, To>;
}

template <ModelConfig config, class... Policies>
void compile_copy_rows() {
  using View = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] void (*volatile copy)(DeviceView<View> const&, std::int32_t, Tokens const&, DeviceView<View> const&,
                                         Tokens const&, cudaStream_t) = ops::copy_rows<View, View>;
}

}  // namespace

void compile_moves() {
  compile_copy_rows<models::llama3_1_8b, Keys<Int8PerToken>, Values<Int4Rotated>, LayoutNhd>();
  compile_copy_rows<models::gemma3_27b, BF16, LayoutInterleaved>();
  compile_copy_rows<models::deepseek_v3, BF16>();
  compile_rotate<models::llama3_1_8b, F16>();
  compile_rotate<models::llama3_1_8b, F32, LayoutInterleaved>();
  compile_rotate<models::llama3_1_8b, Keys<BF16>, Values<Int4Rotated>, LayoutInterleaved>();
  compile_rotate<models::gemma3_27b, BF16, LayoutNhd>();
  compile_rotate<models::deepseek_v3, BF16>();
  compile_requantize<models::llama3_1_8b, F16, Int8PerToken, BlockSize<64>>();
  compile_requantize<models::llama3_1_8b, F16, Int4Rotated, LayoutInterleaved>();
  compile_requantize<models::llama3_1_8b, F32, Keys<Int8PerToken>, Values<Int4Rotated>>();
  compile_requantize<models::gemma3_27b, BF16, Fp8E4M3, LayoutInterleaved, BlockSizes<32, 16>>();
  compile_requantize<models::deepseek_v3, BF16, Int8PerToken>();
  compile_requantize<full_and_latent, BF16, Formats<Int4Rotated, Int8PerToken>, BlockSizes<32, 16>>();
  [[maybe_unused]] void (*volatile copy)(std::byte const*, std::byte*, std::int64_t, std::span<BlockCopy const>,
                                         cudaStream_t) = ops::copy_blocks;
  [[maybe_unused]] void (*volatile pieces)(std::span<ops::CopyPiece const>, cudaStream_t) = ops::copy_pieces;
  [[maybe_unused]] void (*volatile out)(std::byte const*, std::byte*, std::int64_t, std::span<BlockCopy const>,
                                        cudaStream_t) = ops::swap_out;
  [[maybe_unused]] void (*volatile in)(std::byte*, std::byte const*, std::int64_t, std::span<BlockCopy const>,
                                       cudaStream_t) = ops::swap_in;
}
