// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stored rows on their way to registers: loaded early, decoded late. Device code.

#include <cstdint>
#include <folio/layout/layout.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/unpack.hpp>
#include <folio/row.hpp>
#include <type_traits>

namespace folio::ops::detail {

inline constexpr int chunk_dim = 8;  ///< elements of a row that a lane reads in one piece

/// A lane's share of a row, as it is stored: codes are loaded early and decoded late, so that the loads of several rows
/// are on their way while others are worked on. Chunk c of the row is lane c % Count's, so neighbours load neighbours.
template <class RowType, std::int32_t Dim, int Count>
class StoredPart;

template <class Quantizer, class Layout, Plane plane, std::int32_t Dim, int Count>
class StoredPart<Row<Quantizer, Layout, plane>, Dim, Count> {
 public:
  static constexpr int row_chunks = Dim / chunk_dim, chunks = (row_chunks + Count - 1) / Count;
  static constexpr int bytes = code_bytes<Quantizer>(chunk_dim);
  static constexpr int piece =
      common_divisor(bytes, Layout::run_bytes(plane) == whole_row ? bytes : Layout::run_bytes(plane));
  static constexpr bool row_params = params_dim<Quantizer> >= max_row_dim;  // one set of parameters for the row
  static constexpr int group = row_params ? chunk_dim : common_divisor(chunk_dim, params_dim<Quantizer>);
  static constexpr int groups = chunk_dim / group;  // sets of parameters for a chunk
  static constexpr int num_params = row_params ? 1 : chunks * groups;
  static constexpr int registers =
      chunks * ((bytes + 3) / 4) + (std::is_empty_v<typename Quantizer::Params>
                                        ? 0
                                        : num_params * static_cast<int>(sizeof(typename Quantizer::Params)) / 4);

  [[nodiscard]] __device__ static bool has(int c) {
    return row_chunks % Count == 0 || static_cast<int>(threadIdx.x) % Count + c * Count < row_chunks;
  }
  /// Which chunk of the row this lane's `c`th is; the first one where the row has no more.
  [[nodiscard]] __device__ static int chunk(int c) {
    return has(c) ? static_cast<int>(threadIdx.x) % Count + c * Count : 0;
  }

  __device__ void load(Row<Quantizer, Layout, plane> const& row) {
    for (int p = 0; p < num_params; ++p)
      params_[p] = row.params(row_params ? 0 : chunk(p / groups) * chunk_dim + p % groups * group);
    for (int c = 0; c < chunks; ++c)
      for (int b = 0; b < bytes; b += piece) {
        auto const words = load_words<piece>(row.codes(chunk(c) * bytes + b));
        for (int w = 0; w < (piece + 3) / 4; ++w) codes_[c][b / 4 + w] = words[w];
      }
  }

  [[nodiscard]] __device__ Vec<chunk_dim> decode(int c) const {
    auto const* const codes = reinterpret_cast<std::byte const*>(codes_[c].v);
    Vec<chunk_dim> elements;
    for (int g = 0; g < groups; ++g)
      Quantizer::template decode<group>(codes + code_bytes<Quantizer>(g * group),
                                        params_[row_params ? 0 : c * groups + g], elements.v + g * group);
    if (!has(c)) elements = {};
    return elements;
  }

 private:
  alignas(16) Pack<std::uint32_t, (bytes + 3) / 4> codes_[std::size_t{chunks}];
  typename Quantizer::Params params_[std::size_t{num_params}];
};

}  // namespace folio::ops::detail
