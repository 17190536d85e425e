// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Costly views, one defect each, which check.cmake must find.
#include <folio/layout/hnd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>

#include "raw_pointers.cuh"
#include "view.cuh"

namespace {

constexpr folio::ModelConfig known{.layers = 32, .kv_heads = 8, .head_dim = 128}, unknown{.head_dim = 128};
template <class Q, class Layout, folio::ModelConfig Model>
using View = folio::BlockTableView<folio::Model<Model>, folio::BlockSize<16>, Q, Q, Layout>;

/// 8 bytes by loads of 4.
using InPieces = View<folio::F16, folio::BasicLayoutInterleaved<4>, known>;
/// Strides that only the running cache knows.
using OfAnyShape = View<folio::Int8PerToken, folio::LayoutHnd, unknown>;

}  // namespace

/// 16 bytes by loads of 4, and halves by way of floats.
template <class T, int N, class Q>
__global__ void load(folio::Row<Q, folio::BasicLayoutInterleaved<4>, folio::Plane::key> row, folio::Pack<T, N>* to) {
  folio::Vec<N> const floats = row.template load_in<Q::basis, N>(threadIdx.x * N);
  if constexpr (sizeof(T) == sizeof(float))
    to[threadIdx.x] = floats;
  else
    for (int i = 0; i < N; i += 2) folio::store_halves(floats[i], floats[i + 1], to[threadIdx.x].v + i);
}

extern void const* const kernels[];
void const* const kernels[] = {
    reinterpret_cast<void const*>(raw::decode_attention<raw::F16>),
    reinterpret_cast<void const*>(raw::decode_attention<raw::Int8>),
    reinterpret_cast<void const*>(raw::decode_attention<raw::Int4>),
    reinterpret_cast<void const*>(view::decode_attention<InPieces>),
    reinterpret_cast<void const*>(view::decode_attention<OfAnyShape>),
    reinterpret_cast<void const*>(load<float, 8, folio::F16>),
    reinterpret_cast<void const*>(load<folio::Half, 8, folio::F16>),
};
