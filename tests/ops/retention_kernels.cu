// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels that choose and keep tokens, compiled by nvcc through their launchers: scores, key_norms, top_k (with CUB
// itself), compact.
#include <folio/folio.hpp>
#include <folio/ops/compact.cuh>
#include <folio/ops/key_norms.cuh>
#include <folio/ops/scores.cuh>
#include <folio/ops/top_k.cuh>

#include "ops/kernel_formats.hpp"

namespace {

using namespace folio;

struct Choosing {
  template <ModelConfig config, class T, class... Policies>
  void operator()() const {
    using View = typename KvCache<Model<config>, Policies...>::View;
    [[maybe_unused]] void (*volatile scores)(DeviceView<View> const&, std::int32_t, T const*, std::int32_t,
                                             float const*, float*, ops::ScoreOptions, cudaStream_t) =
        ops::accumulate_scores<View, T>;
    [[maybe_unused]] void (*volatile compact)(DeviceBatch<View> const&, std::int32_t, ops::TokenLists const&,
                                              cudaStream_t) = ops::compact<View>;
    [[maybe_unused]] void (*volatile norms)(DeviceView<View> const&, std::int32_t, Tokens const&, float*, float,
                                            cudaStream_t) = ops::key_norms<View>;
  }
};

}  // namespace

void compile_retention() {
  folio::test::for_kernel_formats(Choosing());
  using View = KvCache<Model<models::llama3_1_8b>, F16>::View;
  [[maybe_unused]] void (*volatile top_k)(DeviceView<View> const&, float const*, ops::TopKOptions const&, std::int32_t*,
                                          std::int32_t*, void*, std::int64_t, cudaStream_t) = ops::top_k<View>;
  [[maybe_unused]] void (*volatile elements)(float*, std::int64_t, std::int32_t, std::int32_t const*,
                                             std::int32_t const*, std::int32_t, float, cudaStream_t) =
      ops::compact_elements<float>;
}
