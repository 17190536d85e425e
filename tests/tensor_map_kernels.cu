// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Kernels with tensor maps, compiled by nvcc: on GPUs with TMA the instructions, on others the portable branch.
#include "tensor_map_kernels.cuh"

#include <folio/folio.hpp>

namespace {

using namespace folio;

template <ModelConfig config, class... Policies>
void compile() {
  using View = typename KvCache<Model<config>, Policies...>::View;
  [[maybe_unused]] void (*volatile tiles)(View, TensorMap, TensorMap, std::int32_t, float*) =
      folio::test::tiles_kernel<View, 0>;
  [[maybe_unused]] TensorMap (*volatile make)(DeviceView<View> const&, int, Plane, std::int64_t) =
      make_tensor_map<View>;
}

}  // namespace

void compile_tensor_maps() {
  compile<models::llama3_1_8b, F16>();
  compile<models::llama3_1_8b, Int8PerToken, LayoutNhd>();
  compile<models::llama3_1_8b, Keys<Int8PerToken>, Values<Int4Rotated>, LayoutInterleaved>();
}
