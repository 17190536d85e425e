// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Attention's kernels, compiled by nvcc through their launchers: what models with full, window and latent layers need.
#include <folio/folio.hpp>
#include <folio/ops/attend.cuh>

namespace {

using namespace folio;

template <class View, class T>
using Launcher = void (*)(DeviceView<View> const&, std::int32_t, AttentionIo<T> const&, AttentionParams const&,
                          DeviceExecution const&);

/// Decode and, where rows are short enough, prefill.
template <ModelConfig config, class T, class... Policies>
void attend() {
  using View = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] Launcher<View, T> volatile attend = ops::attend<View, T, T>;
  [[maybe_unused]] ops::DeviceAttentionPlan<View> (*volatile plan)(DeviceView<View> const&, std::int32_t,
                                                                   AttentionParams const&, DeviceExecution const&) =
      ops::plan_attention<View>;
}

template <ModelConfig config, class T, class... Policies>
void decode() {
  using View = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] Launcher<View, T> volatile decode = ops::decode<View, T, T>;
}

}  // namespace

void compile_all() {
  attend<models::llama3_1_8b, Half, F16>();
  attend<models::llama3_1_8b, BFloat16, Int8PerToken, LayoutNhd>();
  attend<models::llama3_1_8b, Half, Int4Rotated, LayoutInterleaved>();
  attend<models::llama3_1_8b, Half, Keys<Int8PerToken>, Values<Int4Rotated>>();
  attend<models::gemma3_27b, BFloat16, Fp8E4M3, LayoutInterleaved, BlockSizes<32, 16>>();
  decode<models::gemma3_12b, BFloat16, BF16, LayoutNhd, BlockSizes<32, 16>>();
  decode<models::llama3_1_8b, float, F32>();
  decode<models::llama3_1_8b, Half, Int2Rotated>();
  attend<models::deepseek_v3, BFloat16, BF16>();
  attend<models::deepseek_v3, BFloat16, Int8PerToken>();
  [[maybe_unused]] void (*volatile merge)(float const*, float const*, std::int32_t, std::int64_t, std::int32_t, Half*,
                                          float*, cudaStream_t) = ops::merge_attention;
}
