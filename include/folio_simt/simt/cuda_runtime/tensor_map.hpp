// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a TMA load does, for kernels: cp.async.bulk.tensor with a map that cuTensorMapEncodeTiled made.

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "simt/runner.hpp"

namespace simt {

/// Whether tensor_map_load reads what cuTensorMapEncodeTiled made: here, and not on a GPU.
inline constexpr bool reads_tensor_maps = true;

/// What the stand-in writes into a CUtensorMap. Dims begin with the innermost, whose stride is the element.
struct TensorMapContent {
  static constexpr int max_rank = 5;
  std::byte const* begin;
  std::uint64_t extents[max_rank], strides[max_rank];
  std::uint16_t box[max_rank], steps[max_rank];
  std::uint8_t rank, element_bytes, fill, swizzle;
};
static_assert(sizeof(TensorMapContent) <= sizeof(CUtensorMap));

namespace detail {

/// Where a byte of a box lies in shared memory: chunks of 16 bytes change places within each 32, 64 or 128.
constexpr std::size_t swizzled(std::size_t offset, unsigned swizzle) {
  std::size_t const mask = (std::size_t{1} << swizzle) - 1;
  return offset ^ ((offset >> 7 & mask) << 4);
}

}  // namespace detail

/// Loads the box at `coordinates`, innermost first, one each dim, to shared memory: what lies outside of the tensor is
/// filled. One thread calls it, and a barrier makes the bytes visible to the others. `to` is aligned to 128 bytes, and
/// to 1024 with a swizzle, since the pattern starts there.
template <class... Coordinates>
void tensor_map_load(CUtensorMap const& map, void* to, Coordinates... coordinates) {
  TensorMapContent content;
  std::memcpy(&content, &map, sizeof content);
  std::int64_t const at[] = {coordinates...};
  if (sizeof...(Coordinates) != content.rank)
    throw Error(Fault::kernel, "a tensor map's load needs a coordinate for each of its dims");
  if (reinterpret_cast<std::uintptr_t>(to) % 128 != 0)
    throw Error(Fault::misaligned, "a tensor map's load goes to shared memory that is aligned to 128 bytes");
  std::size_t num_elements = 1;
  std::uint64_t lines[TensorMapContent::max_rank];
  for (int dim = 0; dim < content.rank; ++dim)
    num_elements *= lines[dim] =
        static_cast<std::uint64_t>((content.box[dim] + content.steps[dim] - 1) / content.steps[dim]);
  for (std::size_t i = 0; i < num_elements; ++i) {
    std::byte const* from = content.begin;
    bool inside = true;
    std::size_t rest = i;
    for (int dim = 0; dim < content.rank; ++dim) {
      std::int64_t const index = at[dim] + static_cast<std::int64_t>(rest % lines[dim]) * content.steps[dim];
      rest /= lines[dim];
      inside = inside && index >= 0 && static_cast<std::uint64_t>(index) < content.extents[dim];
      from += index * static_cast<std::int64_t>(content.strides[dim]);
    }
    std::byte* const place = static_cast<std::byte*>(to) + detail::swizzled(i * content.element_bytes, content.swizzle);
    if (inside)
      std::memcpy(place, from, content.element_bytes);
    else
      std::memset(place, content.fill, content.element_bytes);
  }
}

}  // namespace simt
