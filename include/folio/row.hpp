// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A stored row, as a kernel reads it: decoded elements in vectors, or the addresses of the bytes. Host and device.

#include <cstring>
#include <folio/layout/layout.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <type_traits>

namespace folio {

/// N decoded elements.
template <int N>
using Vec = Pack<float, N>;

/// One row: the key or the value of one token in one head of one layer. Cheap to make, meant to be short-lived.
template <QuantizerPolicy Quantizer, LayoutPolicy Layout, Plane plane>
class Row {
 public:
  using Params = typename Quantizer::Params;
  static constexpr bool params_of_tile = is_tile_format<Quantizer>;
  static constexpr Basis basis = Quantizer::basis;  ///< of the decoded elements

  /// `codes`: those of this plane of the layer in the block; `params`: this row's parameters, or its whole tile's.
  FOLIO_HOST_DEVICE constexpr Row(std::byte* codes, PlaneExtent extent, std::byte* params, std::int32_t head,
                                  std::int32_t slot)
      : codes_(codes), params_(params), extent_(extent), head_(head), slot_(slot) {}

  /// Elements [dim, dim + N), decoded, of a format that does not rotate: in the model's basis. `dim` is a multiple of
  /// N, and N * bits of whole bytes. A format that rotates does not compile: see load_in.
  ///
  /// One load of N * bits / 8 bytes where that is a power of two up to 16 and the layout and the parameters keep the
  /// elements together; several such loads otherwise. 16 bytes are N = 4 of F32, 8 of F16 and BF16, 16 of Int8PerToken
  /// and Fp8E4M3, 32 of Int4Rotated. Parameters cost a load of their own, which lanes that share a row share.
  ///
  /// `load<N, Half>` gives the same numbers rounded to half precision: for F16 the stored bits, for others one
  /// conversion for each two elements. What is above 65504 becomes infinite. The result lies in memory as N / 2
  /// __half2: `reinterpret_cast<__half2 const*>(result.v)[i]` is elements 2 * i and 2 * i + 1.
  template <int N, class T = float>
  [[nodiscard]] FOLIO_HOST_DEVICE Pack<T, N> load(std::int32_t dim) const {
    check_model_basis<N>();
    return load_in<basis, N, T>(dim);
  }
  /// The same with the row's parameters at hand, for loops that read them once.
  template <int N, class T = float>
  [[nodiscard]] FOLIO_HOST_DEVICE Pack<T, N> load(std::int32_t dim, Params const& params) const {
    check_model_basis<N>();
    return load_in<basis, N, T>(dim, params);
  }

  /// The same in the quantizer's basis, which the kernel names: `load_in<Q::basis, N>(dim)`. For kernels that also read
  /// formats that rotate. They rotate the query to the keys' basis before the loop, and the output back from the
  /// values' after it (change_basis, change_basis_by).
  template <Basis named, int N, class T = float>
  [[nodiscard]] FOLIO_HOST_DEVICE Pack<T, N> load_in(std::int32_t dim) const {
    static_assert(named == basis, "folio: rows of this format are in another basis: name the quantizer's, Q::basis");
    constexpr int part = elements_together(N);
    Pack<T, N> result;
    for (int i = 0; i < N; i += part) decode<part>(dim + i, params(dim + i), result.v + i);
    return result;
  }
  template <Basis named, int N, class T = float>
  [[nodiscard]] FOLIO_HOST_DEVICE Pack<T, N> load_in(std::int32_t dim, Params const& params) const {
    static_assert(named == basis, "folio: rows of this format are in another basis: name the quantizer's, Q::basis");
    static_assert(N <= params_dim<Quantizer>,
                  "folio: this format has several parameters in N elements: use load<N>(dim)");
    constexpr int part = elements_together(N);
    Pack<T, N> result;
    for (int i = 0; i < N; i += part) decode<part>(dim + i, params, result.v + i);
    return result;
  }

  /// One element, decoded, of a format that does not rotate. Convenient and slow: `load<N>` reads N at once.
  [[nodiscard]] FOLIO_HOST_DEVICE float operator[](std::int32_t dim) const {
    constexpr int together = Quantizer::bits >= 8 ? 1 : 8;  // the fewest elements that are whole bytes for any bits
    return load<together>(dim / together * together)[dim % together];
  }

  /// Encodes `row` (`dim` elements in the model's basis) into this place. Not for rows that others read at the same
  /// time.
  FOLIO_HOST_DEVICE void store(float const* row, std::int32_t dim) const {
    if constexpr (Layout::run_bytes(plane) == whole_row) {
      Quantizer::encode(row, dim, codes(0), params_);
    } else {
      constexpr std::int32_t run = Layout::run_bytes(plane);
      alignas(16) std::byte whole[max_row_dim * 4];
      Quantizer::encode(row, dim, whole, params_);
      std::int32_t const bytes = code_bytes<Quantizer>(dim);
      std::int32_t begin = 0;
      for (; begin + run <= bytes; begin += run) std::memcpy(codes(begin), whole + begin, std::size_t{run});
      if (begin < bytes) std::memcpy(codes(begin), whole + begin, static_cast<std::size_t>(bytes - begin));
    }
  }

  /// Encodes a row that several lanes hold together: see CooperativeQuantizer. Every lane calls it; those for which
  /// lanes.active() is false hold zeros after the row's end, and write nothing.
  template <int N, class Lanes>
  FOLIO_HOST_DEVICE void store_by(Lanes const& lanes, Vec<N> const& part) const {
    static_assert(CooperativeQuantizer<Quantizer, Lanes>,
                  "folio: kernels (ops::append) write rows by encode_by(lanes, part, codes, params), which this format "
                  "has not, or not of this form: docs/write_a_policy.md, \"A format in kernels\"");
    if constexpr (CooperativeQuantizer<Quantizer, Lanes>) {
      constexpr std::int32_t bytes = code_bytes<Quantizer>(N);
      Pack<std::uint8_t, bytes> encoded;
      Quantizer::encode_by(lanes, part, encoded, params_);
      if (!lanes.active()) return;
      constexpr std::int32_t piece =
          common_divisor(bytes, Layout::run_bytes(plane) == whole_row ? bytes : Layout::run_bytes(plane));
      constexpr std::size_t alignment = code_alignment(piece);  // clang 14 dies of a call in its place
      for (std::int32_t i = 0; i < bytes; i += piece)
        std::memcpy(__builtin_assume_aligned(codes(lanes.rank() * bytes + i), alignment), encoded.v + i,
                    std::size_t{piece});
    }
  }

  /// The row's decoded parameters for the elements from `dim` on; an empty struct when the format has none.
  [[nodiscard]] FOLIO_HOST_DEVICE Params params(std::int32_t dim = 0) const {
    if constexpr (params_of_tile)
      return Quantizer::load_params(params_, dim, slot_);
    else
      return Quantizer::load_params(params_, dim);
  }

  /// The address of code byte `byte` of the row, for those who load by themselves (cp.async, TMA, SIMD).
  ///
  /// Where the layout keeps rows whole, the row is one stretch of bytes, a multiple of 16 long, and begins at a
  /// multiple of 16: so codes(16 * i) may be copied by 16-byte cp.async, padding included. Elsewhere
  /// `Layout::run_bytes(plane)` bytes lie together, begin at a multiple of themselves, and may be copied so. What was
  /// copied is decoded by `Quantizer::decode<N>(codes, params, out)`, from shared memory too.
  [[nodiscard]] FOLIO_HOST_DEVICE std::byte* codes(std::int32_t byte = 0) const {
    return codes_ + Layout::code_offset(plane, extent_, head_, slot_, byte);
  }

  /// The address of the row's parameters: Quantizer::param_bytes(dim) bytes in one stretch. They begin at a multiple of
  /// 4 only: copy them by 4-byte cp.async. In a tile format: those of the tile, Quantizer::tile_param_bytes(dim) bytes.
  [[nodiscard]] FOLIO_HOST_DEVICE std::byte* param_bytes() const { return params_; }

 private:
  template <int N>  // of a template, so that only those fail who call it
  FOLIO_HOST_DEVICE static constexpr void check_model_basis() {
    static_assert(
        N > 0 && basis == Basis::model,
        "folio: this format stores rows rotated: turn the query to its basis once (change_basis_by), and read "
        "by load_in<Q::basis, N>(dim); docs/write_a_kernel.md, \"Formats that rotate\"");
  }

  /// How many of N elements have their codes in one piece and share their parameters.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr int elements_together(int n) {
    constexpr bool whole = Layout::run_bytes(plane) == whole_row;
    static_assert(whole || Layout::run_bytes(plane) * 8 % Quantizer::bits == 0,
                  "folio: this layout cuts rows into runs of bytes, and this quantizer's codes would lie across their "
                  "borders; take a layout that keeps rows whole");
    if constexpr (!whole) n = common_divisor(n, Layout::run_bytes(plane) * 8 / Quantizer::bits);
    return params_dim<Quantizer> < max_row_dim ? common_divisor(n, params_dim<Quantizer>) : n;
  }

  template <int N, class T>
  FOLIO_HOST_DEVICE void decode(std::int32_t dim, Params const& params, T* out) const {
    static_assert(N * Quantizer::bits % 8 == 0, "folio: load<N> reads whole bytes: N * bits must be a multiple of 8");
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, Half>, "folio: load<N, T> decodes to float or Half");
    std::byte const* const from = codes(code_bytes<Quantizer>(dim));
    if constexpr (requires { Quantizer::template decode<N>(from, params, out); }) {
      Quantizer::template decode<N>(from, params, out);
    } else {
      float floats[std::size_t{N}];
      Quantizer::template decode<N>(from, params, floats);
      for (int i = 0; i < N / 2; ++i) store_halves(floats[2 * i], floats[2 * i + 1], out + 2 * i);
      if constexpr (N % 2 != 0) out[N - 1].bits = f32_to_f16(floats[N - 1]);
    }
  }

  std::byte* codes_;
  std::byte* params_;
  PlaneExtent extent_;
  std::int32_t head_, slot_;
};

}  // namespace folio
