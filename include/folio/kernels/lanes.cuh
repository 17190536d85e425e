// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Threads of a warp that work on one row together. Device code: for nvcc, or for a host runner that has CUDA's words.

#include <bit>
#include <cstdint>
#include <folio/config.hpp>

namespace folio::ops {

/// How a row of `Dim` elements is shared: each lane holds `per_lane` of them, a power of two of at least `AtLeast`.
template <std::int32_t Dim, std::int32_t AtLeast = 4>
struct RowSharing {
  static constexpr std::int32_t needed = (Dim + 31) / 32;
  static constexpr int per_lane = needed <= AtLeast ? AtLeast : static_cast<int>(std::bit_ceil(unsigned(needed)));
  static constexpr int lanes = static_cast<int>(std::bit_ceil(unsigned((Dim + per_lane - 1) / per_lane)));
};

/// `Count` lanes, a power of two, that share one row of `Dim` elements. Every lane of the group makes the same calls.
template <std::int32_t Dim, int Count = RowSharing<Dim>::lanes>
class Lanes {
 public:
  static constexpr int count = Count;
  static constexpr int per_lane = static_cast<int>(std::bit_ceil(unsigned((Dim + Count - 1) / Count)));
  static_assert(Count >= 1 && Count <= 32 && std::has_single_bit(unsigned(Count)));
  static_assert(Dim % per_lane == 0,
                "folio: kernels share a row over up to 32 lanes of 4, 8, 16 or 32 elements each: the dim must be a "
                "multiple of 16 above 256, and of 32 above 512");

  [[nodiscard]] __device__ static std::int32_t dim() { return Dim; }
  /// This lane's place: it holds elements [rank * per_lane, (rank + 1) * per_lane).
  [[nodiscard]] __device__ static int rank() { return static_cast<int>(threadIdx.x % count); }
  /// Whether these elements exist; where the dim is no power of two, the last lanes only take part in exchanges.
  [[nodiscard]] __device__ static bool active() { return rank() < Dim / per_lane; }

  template <class T>
  [[nodiscard]] __device__ static T exchange(T value, int distance) {
    return __shfl_xor_sync(mask(), value, distance);
  }
  [[nodiscard]] __device__ static std::int32_t max(std::int32_t value) {
    if (!active()) value = INT32_MIN;
    for (int d = 1; d < count; d *= 2) {
      std::int32_t const other = exchange(value, d);
      value = other > value ? other : value;
    }
    return value;
  }
  [[nodiscard]] __device__ static std::int32_t min(std::int32_t value) {
    if (!active()) value = INT32_MAX;
    for (int d = 1; d < count; d *= 2) {
      std::int32_t const other = exchange(value, d);
      value = other < value ? other : value;
    }
    return value;
  }
  [[nodiscard]] __device__ static std::int32_t sum(std::int32_t value) {
    if (!active()) value = 0;
    for (int d = 1; d < count; d *= 2) value += exchange(value, d);
    return value;
  }
  [[nodiscard]] __device__ static float sum(float value) {
    if (!active()) value = 0;
    for (int d = 1; d < count; d *= 2) value += exchange(value, d);
    return value;
  }

 private:
  [[nodiscard]] __device__ static unsigned mask() {
    if constexpr (count == 32) return 0xFFFFFFFFU;
    unsigned const first = threadIdx.x % 32U / unsigned{count} * unsigned{count};
    return ((1U << (count % 32)) - 1U) << first;
  }
};

/// The lanes that share a stored row of format Q: each holds whole bytes of it, so 8 elements of an odd number of bits
/// where of others 4 would do.
template <class Q, std::int32_t Dim>
using RowLanes = Lanes<Dim, RowSharing<Dim, Q::bits % 2 == 0 ? 4 : 8>::lanes>;

}  // namespace folio::ops
