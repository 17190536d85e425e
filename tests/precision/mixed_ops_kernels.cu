// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels of a cache that demotes, compiled by nvcc through their launchers: attention over both lists, gather,
// and demotion.
#include <folio/cuda.cuh>
#include <folio/precision/demote.cuh>
#include <folio/precision/mixed_ops.cuh>

namespace {

using namespace folio;

template <ModelConfig config, class T, class... Policies>
void compile() {
  using Cache = KvCache<Model<config>, DeviceAllocator, Policies...>;
  using View = typename Cache::View;
  using Recent = decltype(View::recent);
  using Demoted = decltype(View::demoted);
  [[maybe_unused]] void (*volatile append)(DeviceView<View> const&, std::int32_t, T const*, T const*, cudaStream_t,
                                           RowStrides const&) = ops::append<Recent, Demoted, T>;
  [[maybe_unused]] void (*volatile attend)(DeviceView<View> const&, std::int32_t, AttentionIo<T> const&,
                                           AttentionParams const&, DeviceExecution const&) =
      ops::attend<Recent, Demoted, T, T>;
  [[maybe_unused]] ops::DeviceAttentionPlan<View> (*volatile plan)(DeviceView<View> const&, std::int32_t,
                                                                   AttentionParams const&, DeviceExecution const&) =
      ops::plan_attention<View>;
  [[maybe_unused]] void (*volatile gather)(DeviceView<View> const&, std::int32_t, Tokens const&, T*, T*, cudaStream_t) =
      ops::gather<Recent, Demoted, T>;
  [[maybe_unused]] std::int64_t (*volatile demote)(Cache&, std::span<DemotionItem const>, DeviceBatch<View>&,
                                                   cudaStream_t) =
      ops::demote<Model<config>, DeviceAllocator, Policies...>;
}

}  // namespace

void compile_all() {
  compile<models::llama3_1_8b, Half, F16, Demote<Int4Rotated>>();
  compile<models::llama3_1_8b, BFloat16, BF16, LayoutNhd,
          Demote<Keys<Int8PerToken>, Values<Int4Rotated>, BlockSize<64>, LayoutInterleaved>>();
  compile<models::gemma3_27b, BFloat16, BF16, BlockSizes<32, 16>, Demote<Fp8E4M3>>();
  compile<models::deepseek_v3, BFloat16, BF16, Demote<Int8PerToken>>();
}
