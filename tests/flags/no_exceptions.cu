// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What a kernel's source includes, compiled without exceptions, as device code is in some projects: view, quantizers
// and layouts, with everything that a row can do. Only compiled, by nvcc and by host compilers (-include
// simt/cuda.hpp).

#include <folio/device_view.hpp>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/layout/hnd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp4.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <folio/view.hpp>

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 128};
template <class Q, class Layout, int Tokens = 16>
using View = folio::BlockTableView<folio::Model<model>, folio::BlockSize<Tokens>, Q, Q, Layout>;

/// Reads the keys of a sequence, turns them to the model's basis, and stores their sum as a row of it.
template <class View>
__global__ void sum_keys(View view, float* sums) {
  using Quantizer = typename View::KeyQuantizer;
  using Lanes = folio::ops::RowLanes<Quantizer, 128>;
  constexpr int N = Lanes::per_lane;
  Lanes const lanes;
  auto const sequence = view.sequence(0, 1);
  folio::Vec<N> sum{};
  for (auto const block : sequence.blocks())
    for (int slot = 0; slot < block.size(); ++slot) {
      auto const part = block.key(0, slot).template load_in<Quantizer::basis, N>(lanes.rank() * N);
      for (int i = 0; i < N; ++i) sum[i] += part[i];
    }
  folio::change_basis_by<Quantizer::basis>(lanes, sum, 128);
  folio::ops::store_part<N>(lanes, sum, sums);
  if constexpr (!folio::is_tile_format<Quantizer>) sequence.value(0, 0).store_by(lanes, sum);
}

/// On the host: a row written and read.
template <class View>
float write_and_read(View const& view, float const* row) {
  auto const key = view.sequence(0, 0).key(0, 0);
  if constexpr (!folio::is_tile_format<typename View::KeyQuantizer>) key.store(row, 128);
  return key.template load_in<View::KeyQuantizer::basis, 8>(0)[0];
}

template <class... Views>
struct All {
  void const* kernels[sizeof...(Views)] = {reinterpret_cast<void const*>(sum_keys<Views>)...};
  float (*functions)(Views const&..., float const*) = [](Views const&... views, float const* row) {
    return (write_and_read(views, row) + ...);
  };
};

extern All<View<folio::F32, folio::LayoutNhd>, View<folio::F16, folio::LayoutHnd>, View<folio::BF16, folio::LayoutHnd>,
           View<folio::Fp8E4M3, folio::LayoutInterleaved>, View<folio::Nvfp4, folio::LayoutHnd>,
           View<folio::Int8PerToken, folio::LayoutHnd>, View<folio::Int4Rotated, folio::LayoutHnd>,
           View<folio::Int4PerGroup<32>, folio::LayoutHnd>, View<folio::Int2PerChannel<>, folio::LayoutHnd, 64>,
           View<folio::Int2TwoSidedKeys<64>, folio::LayoutHnd, 64>> const compiled;
decltype(compiled) compiled = {};
