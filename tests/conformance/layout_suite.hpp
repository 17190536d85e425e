// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every layout must show, whoever wrote it. A layout's test calls `layout_suite<L>()` once, and tests by itself
// only what is special about it: where the bytes are.

#include <algorithm>
#include <cstdint>
#include <folio/layout/layout.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace folio::test {

/// Tiles of codes: rows are multiples of 16 bytes. Tiles of parameters: multiples of 4.
inline std::vector<PlaneExtent> extents_of_codes() {
  return {{1, 1, 16},  {1, 1, 64},   {1, 16, 128}, {8, 1, 32},  {2, 3, 48},   {3, 5, 80},
          {4, 16, 64}, {8, 16, 256}, {5, 7, 112},  {1, 64, 16}, {2, 4, 1152}, {3, 2, 4096}};
}
inline std::vector<PlaneExtent> extents_of_params() {
  return {{1, 1, 4}, {8, 16, 4}, {2, 3, 12}, {5, 7, 20}, {3, 5, 36}};
}

/// Ticks off bytes of a tile: each must be met once, and none outside.
class Ticks {
 public:
  explicit Ticks(std::int64_t bytes) : met_(static_cast<std::size_t>(bytes), false) {}
  /// False when the byte is outside or was met before.
  bool tick(std::int64_t byte) {
    if (byte < 0 || byte >= static_cast<std::int64_t>(met_.size()) || met_[static_cast<std::size_t>(byte)])
      return false;
    met_[static_cast<std::size_t>(byte)] = true;
    ++num_met_;
    return true;
  }
  [[nodiscard]] bool all() const { return num_met_ == met_.size(); }

 private:
  std::vector<bool> met_;
  std::size_t num_met_ = 0;
};

/// The codes of (head, slot, byte) fill the tile one to one, and runs lie together at multiples of themselves.
template <LayoutPolicy L>
void check_codes(Plane plane, PlaneExtent extent) {
  std::int32_t const run = L::run_bytes(plane) == whole_row ? extent.row_bytes : L::run_bytes(plane);
  Ticks ticks(extent.bytes());
  bool one_to_one = true, together = true, aligned = true;
  for (std::int32_t head = 0; head < extent.heads; ++head)
    for (std::int32_t slot = 0; slot < extent.slots; ++slot)
      for (std::int32_t byte = 0; byte < extent.row_bytes; ++byte) {
        std::int64_t const at = L::code_offset(plane, extent, head, slot, byte);
        std::int64_t const begin = L::code_offset(plane, extent, head, slot, byte / run * run);
        one_to_one = ticks.tick(at) && one_to_one;
        together = together && at == begin + byte % run;
        aligned = aligned && begin % (L::run_bytes(plane) == whole_row ? 16 : run) == 0;
      }
  CHECK(one_to_one);
  CHECK(ticks.all());
  CHECK(together);
  CHECK(aligned);
}

/// The parameters of each row lie together, and the rows fill the tile.
template <LayoutPolicy L>
void check_params(Plane plane, PlaneExtent extent) {
  Ticks ticks(extent.bytes());
  bool one_to_one = true, aligned = true;
  for (std::int32_t head = 0; head < extent.heads; ++head)
    for (std::int32_t slot = 0; slot < extent.slots; ++slot) {
      std::int64_t const begin = L::param_offset(plane, extent, head, slot);
      aligned = aligned && begin % 4 == 0;
      for (std::int32_t byte = 0; byte < extent.row_bytes; ++byte) one_to_one = ticks.tick(begin + byte) && one_to_one;
    }
  CHECK(one_to_one);
  CHECK(ticks.all());
  CHECK(aligned);
}

/// A head's bytes are one stretch, after those of the heads before it, where the layout says so, and not where it
/// denies it. `offset(head, slot, byte)`
template <class Offset>
void check_heads(bool whole_heads, PlaneExtent extent, Offset const& offset) {
  std::int64_t const of_head = std::int64_t{extent.slots} * extent.row_bytes;
  bool in_place = true;
  for (std::int32_t head = 0; head < extent.heads; ++head)
    for (std::int32_t slot = 0; slot < extent.slots; ++slot)
      for (std::int32_t byte = 0; byte < extent.row_bytes; ++byte)
        in_place = in_place && offset(head, slot, byte) / of_head == head;
  if (whole_heads || extent.heads == 1) CHECK(in_place);
  if (!whole_heads && extent.heads > 1 && extent.slots > 1) CHECK(!in_place);
}

/// Offsets are 64-bit: in tiles of many gigabytes (computed, not made), of many heads or of many slots, no byte is
/// after the end or at another's place.
template <LayoutPolicy L>
void check_large(Plane plane) {
  for (PlaneExtent const extent : {PlaneExtent{256, 1 << 16, 1024}, PlaneExtent{2, 1 << 27, 4096}}) {
    std::vector<std::int64_t> codes, params;
    for (std::int32_t const head : {0, extent.heads - 1})
      for (std::int32_t const slot : {0, 1, extent.slots - 2, extent.slots - 1})
        for (std::int32_t byte = 0; byte < extent.row_bytes; ++byte) {
          codes.push_back(L::code_offset(plane, extent, head, slot, byte));
          params.push_back(L::param_offset(plane, extent, head, slot) + byte);
        }
    for (std::vector<std::int64_t>* const all : {&codes, &params}) {
      std::sort(all->begin(), all->end());
      CHECK(std::adjacent_find(all->begin(), all->end()) == all->end());
      CHECK((all->front() >= 0 && all->back() < extent.bytes()));
      CHECK(all->back() > std::int64_t{1} << 33);
    }
  }
}

/// Runs all of it. Call it inside a TEST_CASE.
template <LayoutPolicy L>
void layout_suite() {
  INFO("layout " << L::name);
  REQUIRE(std::string(L::name) != "");
  for (Plane const plane : {Plane::key, Plane::value}) {
    INFO((plane == Plane::key ? "keys" : "values"));
    std::int32_t const run = L::run_bytes(plane);
    REQUIRE((run == whole_row || run == 4 || run == 8 || run == 16));
    for (PlaneExtent const extent : extents_of_codes()) {
      CAPTURE(extent.heads, extent.slots, extent.row_bytes);
      check_codes<L>(plane, extent);
      check_heads(L::whole_heads(plane), extent, [&](std::int32_t head, std::int32_t slot, std::int32_t byte) {
        return L::code_offset(plane, extent, head, slot, byte);
      });
    }
    for (PlaneExtent const extent : extents_of_params()) {
      CAPTURE(extent.heads, extent.slots, extent.row_bytes);
      check_params<L>(plane, extent);
      check_heads(L::whole_heads(plane), extent, [&](std::int32_t head, std::int32_t slot, std::int32_t byte) {
        return L::param_offset(plane, extent, head, slot) + byte;
      });
    }
    check_large<L>(plane);
  }
  // Known at compile time, so that kernels fold it.
  STATIC_REQUIRE(L::code_offset(Plane::key, PlaneExtent{1, 1, 16}, 0, 0, 0) >= 0);
}

}  // namespace folio::test
