// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What check.cmake looks at: one kernel in raw pointers and through the view, for three formats; single loads; and the
// kernels that move rows.
#include <folio/layout/hnd.hpp>
#include <folio/ops/append.cuh>
#include <folio/ops/decode.cuh>
#include <folio/ops/gather.cuh>
#include <folio/ops/prefill.cuh>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>

#include "raw_pointers.cuh"
#include "view.cuh"

namespace {

constexpr folio::ModelConfig model{.layers = 32, .kv_heads = 8, .head_dim = 128};
template <class Q>
using View = folio::BlockTableView<folio::Model<model>, folio::BlockSize<16>, Q, Q, folio::LayoutHnd>;

}  // namespace

/// Loads elements and stores them. T comes first: the checker reads it from the kernel's name.
template <class T, int N, class Q>
__global__ void load(folio::Row<Q, folio::LayoutHnd, folio::Plane::key> row, folio::Pack<T, N>* to) {
  to[threadIdx.x] = row.template load_in<Q::basis, N, T>(threadIdx.x * N);
}

extern void const* const kernels[];
void const* const kernels[] = {
    reinterpret_cast<void const*>(raw::decode_attention<raw::F16>),
    reinterpret_cast<void const*>(raw::decode_attention<raw::Int8>),
    reinterpret_cast<void const*>(raw::decode_attention<raw::Int4>),
    reinterpret_cast<void const*>(view::decode_attention<View<folio::F16>>),
    reinterpret_cast<void const*>(view::decode_attention<View<folio::Int8PerToken>>),
    reinterpret_cast<void const*>(view::decode_attention<View<folio::Int4Rotated>>),
    // 16 bytes of codes each
    reinterpret_cast<void const*>(load<float, 4, folio::F32>),
    reinterpret_cast<void const*>(load<float, 8, folio::F16>),
    reinterpret_cast<void const*>(load<float, 8, folio::BF16>),
    reinterpret_cast<void const*>(load<float, 16, folio::Fp8E4M3>),
    reinterpret_cast<void const*>(load<float, 16, folio::Int8PerToken>),
    reinterpret_cast<void const*>(load<float, 32, folio::Int4Rotated>),
    reinterpret_cast<void const*>(load<float, 64, folio::Int2Rotated>),
    reinterpret_cast<void const*>(load<folio::Half, 8, folio::F16>),
    // rows on their way in and out
    reinterpret_cast<void const*>(folio::ops::append_kernel<View<folio::F16>, 0, folio::Half>),
    reinterpret_cast<void const*>(folio::ops::append_kernel<View<folio::Int8PerToken>, 0, folio::Half>),
    reinterpret_cast<void const*>(folio::ops::append_kernel<View<folio::Fp8E4M3>, 0, folio::Half>),
    reinterpret_cast<void const*>(folio::ops::gather_kernel<View<folio::F16>, 0, folio::Half>),
    reinterpret_cast<void const*>(folio::ops::gather_kernel<View<folio::Int8PerToken>, 0, folio::Half>),
    reinterpret_cast<void const*>(folio::ops::gather_kernel<View<folio::Fp8E4M3>, 0, folio::Half>),
    // attention's: with what modifies scores beside the loop that others run in
    reinterpret_cast<void const*>(folio::ops::attend_kernel<View<folio::F16>, 0, 4, folio::Half, folio::Half>),
    reinterpret_cast<void const*>(folio::ops::prefill_kernel<View<folio::F16>, 0, folio::Half, folio::Half>),
    // 32 bytes
    reinterpret_cast<void const*>(load<folio::Half, 16, folio::F16>),
};
