// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Attention's kernels, compiled by nvcc through their launchers: what models with full, window and latent layers need.
#include <folio/folio.hpp>
#include <folio/ops/attend.cuh>
#include <folio/ops/prefill.cuh>

namespace {

using namespace folio;

template <ModelConfig config, class T, class... Policies>
void attend() {
  using View = DeviceView<typename KvCache<Model<config>, Policies...>::View>;
  [[maybe_unused]] void (*volatile attend)(View const&, std::int32_t, T const*, std::int32_t, T*, float*,
                                           ops::AttendDeviceOptions const&, void*, std::int64_t, cudaStream_t) =
      ops::attend;
  [[maybe_unused]] std::int64_t (*volatile workspace)(View const&, std::int32_t, ops::AttendDeviceOptions const&) =
      ops::attend_workspace_bytes;
}

template <ModelConfig config, class T, class... Policies>
void attend_and_prefill() {
  using View = DeviceView<typename KvCache<Model<config>, Policies...>::View>;
  [[maybe_unused]] void (*volatile prefill)(View const&, std::int32_t, T const*, std::int32_t, T*, float*,
                                            ops::PrefillOptions const&, cudaStream_t) = ops::prefill;
  attend<config, T, Policies...>();
}

}  // namespace

void compile_all() {
  attend_and_prefill<models::llama3_1_8b, Half, F16>();
  attend_and_prefill<models::llama3_1_8b, BFloat16, Int8PerToken, LayoutNhd>();
  attend_and_prefill<models::llama3_1_8b, Half, Int4Rotated, LayoutInterleaved>();
  attend_and_prefill<models::llama3_1_8b, Half, Keys<Int8PerToken>, Values<Int4Rotated>>();
  attend_and_prefill<models::gemma3_27b, BFloat16, Fp8E4M3, LayoutInterleaved, BlockSizes<32, 16>>();
  attend<models::gemma3_12b, BFloat16, BF16, LayoutNhd, BlockSizes<32, 16>>();
  attend<models::llama3_1_8b, float, F32>();
  attend<models::llama3_1_8b, Half, Int2Rotated>();
  attend<models::deepseek_v3, BFloat16, BF16>();
  attend<models::deepseek_v3, BFloat16, Int8PerToken>();
  [[maybe_unused]] void (*volatile merge)(float const*, float const*, std::int32_t, std::int64_t, std::int32_t, Half*,
                                          float*, cudaStream_t) = ops::merge_attention;
}
