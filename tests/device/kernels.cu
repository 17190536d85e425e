// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Every kernel of the library, compiled by nvcc through its launcher, for every quantizer and layout.
#include <folio/folio.hpp>
#include <folio/ops/append.cuh>
#include <folio/ops/attend.cuh>
#include <folio/ops/copy_blocks.cuh>
#include <folio/ops/gather.cuh>

namespace {

using namespace folio;

template <ModelConfig config, int Heads, class T, class... Policies>
void compile() {
  using View = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] void (*volatile append)(View const&, std::int32_t, T const*, T const*, cudaStream_t) =
      ops::append<View, T>;
  [[maybe_unused]] void (*volatile gather)(View const&, std::int32_t, std::int32_t, std::int32_t, std::int32_t, T*, T*,
                                           cudaStream_t) = ops::gather<View, T>;
  [[maybe_unused]] void (*volatile attend)(View, std::int32_t, T const*, ops::AttendArguments, T*, float*) =
      ops::attend_kernel<View, 0, Heads, T, T>;
}

}  // namespace

void compile_all() {
  compile<models::llama3_1_8b, 4, float, F32>();
  compile<models::llama3_1_8b, 4, ops::Half, F16>();
  compile<models::llama3_1_8b, 4, ops::BFloat16, BF16, LayoutNhd>();
  compile<models::llama3_1_8b, 4, ops::BFloat16, Fp8E4M3>();
  compile<models::llama3_1_8b, 4, ops::Half, Int8PerToken>();
  compile<models::llama3_1_8b, 4, ops::Half, Int4Rotated, LayoutInterleaved>();
  compile<models::llama3_1_8b, 4, ops::Half, Keys<Int8PerToken>, Values<Int4Rotated>>();
  compile<models::gemma3_27b, 2, ops::BFloat16, Int8PerToken, LayoutInterleaved, BlockSizes<32, 16>>();
  compile<models::deepseek_v3, 1, ops::BFloat16, BF16>();
  [[maybe_unused]] void (*volatile copy)(std::byte const*, std::byte*, std::int64_t, BlockId const*, BlockId const*,
                                         std::int32_t, cudaStream_t) = ops::copy_blocks;
  [[maybe_unused]] void (*volatile merge)(float const*, float const*, std::int32_t, std::int32_t, ops::Half*, float*) =
      ops::merge_attention_kernel<ops::Half>;
}
