// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where in a block is an element? The contract that every layout meets. Host and device.

#include <concepts>
#include <cstdint>
#include <folio/config.hpp>
#include <type_traits>

namespace folio {

/// Plane, keys or values: the two planes of a layer's share of a block.
enum class Plane : std::uint8_t { key, value };

/// Extent of a plane, which a layout arranges: the rows of one plane of one layer in one block, `heads` x `slots` rows
/// of `row_bytes` bytes.
struct PlaneExtent {
  std::int32_t heads = 0;
  std::int32_t slots = 0;      ///< block size, in tokens
  std::int32_t row_bytes = 0;  ///< bytes of one row

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t bytes() const {
    return std::int64_t{heads} * slots * row_bytes;
  }
};

/// `run_bytes` of a layout that keeps whole rows together.
inline constexpr std::int32_t whole_row = 0x7fffffff;

/// Layout policy: where in a block is an element? A layout is stateless: every function is static and constexpr.
///
/// A row has codes (a multiple of 16 bytes) and perhaps parameters (scales). `code_offset` and `param_offset` each map
/// (head, slot, byte of the row) one to one onto [0, extent.bytes()); a row's parameters always lie together.
/// `run_bytes` is how many code bytes lie together at the least: `whole_row`, or a power of two from 4 to 16. Runs
/// start at multiples of themselves.
///
/// `whole_heads` says whether the codes of a head are one stretch of their tile, and its parameters one of theirs, head
/// after head; LayerView::head_tile hands them out.
template <class L>
concept LayoutPolicy =  //
    std::is_empty_v<L> && std::is_trivially_copyable_v<L> && requires {
  requires std::same_as<decltype(L::name), char const* const>;
} && requires(Plane plane) {
  { L::run_bytes(plane) } -> std::same_as<std::int32_t>;
  { L::whole_heads(plane) } -> std::same_as<bool>;
} && requires(Plane plane, PlaneExtent extent, std::int32_t head, std::int32_t slot, std::int32_t byte) {
  { L::code_offset(plane, extent, head, slot, byte) } -> std::same_as<std::int64_t>;
} && requires(Plane plane, PlaneExtent extent, std::int32_t head, std::int32_t slot) {
  { L::param_offset(plane, extent, head, slot) } -> std::same_as<std::int64_t>;
};

}  // namespace folio
