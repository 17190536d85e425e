// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <folio/device_view.hpp>
#include <folio/layout/hnd.hpp>
#include <folio/model.hpp>
#include <folio/ops/append.cuh>
#include <folio/quantizer/f16.hpp>

/// A format for the host's caches.
struct Mine {
  static constexpr char const* name = "mine";
  static constexpr int bits = 16;
  static constexpr folio::Basis basis = folio::Basis::model;
  static constexpr folio::RowFormat row_format{folio::Elements::f16};
  using Params = folio::F16::Params;
  static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }
  static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    folio::F16::encode(row, dim, codes, params);
  }
  static Params load_params(std::byte const*, std::int32_t) { return {}; }
  template <int N>
  static void decode(std::byte const* codes, Params const& params, float* out) {
    folio::F16::decode<N>(codes, params, out);
  }
#ifdef FOLIO_EXPECT_OK
  template <int N, class Lanes>
  static void encode_by(Lanes const& lanes, folio::Pack<float, N> const& part, folio::Pack<std::uint8_t, 2 * N>& codes,
                        std::byte* params) {
    folio::F16::encode_by(lanes, part, codes, params);
  }
#endif
};

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using View = folio::BlockTableView<folio::Model<tiny>, folio::BlockSize<16>, Mine, Mine, folio::LayoutHnd>;

void append(folio::DeviceView<View> const& view, float const* rows, cudaStream_t stream) {
  // expected-error: folio: kernels .ops::append. write rows by encode_by
  folio::ops::append(view, 0, rows, rows, stream);
}
