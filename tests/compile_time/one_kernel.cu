// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What a user compiles at the least: the view, a format, a layout, and one kernel. measure.cmake takes its time.
#include <folio/layout/hnd.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/view.hpp>

#include "../no_cost/view.cuh"

namespace {

constexpr folio::ModelConfig model{.layers = 32, .kv_heads = 8, .head_dim = 128};
using View = folio::BlockTableView<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken, folio::Int8PerToken,
                                   folio::LayoutHnd>;

}  // namespace

template __global__ void view::decode_attention(View, int, float, float const*, float*);

void decode(View const& kv, int layer, float const* q, float* out, cudaStream_t stream) {
  dim3 const grid(kv.num_sequences(), view::query_heads);
  view::decode_attention<<<grid, 32, 0, stream>>>(kv, layer, 1.0F / 16.0F, q, out);
}
