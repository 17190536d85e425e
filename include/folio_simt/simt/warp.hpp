// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's barriers, shuffles, votes and reductions. Each is a call of the runtime, where the thread waits for the
// others.
//
// As in CUDA, every lane that the mask names makes the same call with the same mask. Stricter than the hardware, the
// call must also stand at the same place of the source (but for __syncwarp), because a pairing of two different lines
// is an accident far more often than a plan. Only __syncthreads and __syncwarp order memory accesses: CUDA says so.

#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simt/detail.hpp"

namespace simt::detail {

/// What CUDA shuffles: numbers of 4 or 8 bytes (shorter ones become int), and types like __half of 2 or 4.
template <class T>
concept Shuffled = std::is_trivially_copyable_v<T> &&
    (std::is_arithmetic_v<T> ? sizeof(T) <= 8 : sizeof(T) == 2 || sizeof(T) == 4);

template <class T>
concept Matched = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

template <class T>
auto promoted(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return +value;
  } else {
    return value;
  }
}

template <class T>
std::uint64_t bits_of(T value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(value));
  return bits;
}

template <Shuffled T>
auto shuffle(Operation operation, unsigned mask, T given, int operand, int width, Where where) {
  auto value = promoted(given);
  int const source = source_lane(operation, operand, width, where);
  std::uint64_t const result = warp_operation({operation, mask, bits_of(value), source, where});
  std::memcpy(&value, &result, sizeof(value));
  return value;
}

inline unsigned warp(Operation operation, unsigned mask, std::uint64_t value, Where where) {
  return static_cast<unsigned>(warp_operation({operation, mask, value, 0, where}));
}

inline int block(Operation operation, int predicate, Where where) {
  return static_cast<int>(block_operation({operation, 0xffffffff, predicate != 0 ? 1U : 0U, 0, where}));
}

}  // namespace simt::detail

/// CUDA's functions. The end of the file makes them known everywhere, as they are under nvcc.
namespace simt::words {

using detail::block, detail::Matched, detail::Shuffled, detail::shuffle, detail::warp;
using enum detail::Operation;

// NOLINTBEGIN: these are CUDA's names

inline void __syncthreads(Where where = Where::here()) { block(syncthreads, 0, where); }
inline int __syncthreads_count(int predicate, Where where = Where::here()) {
  return block(syncthreads_count, predicate, where);
}
inline int __syncthreads_and(int predicate, Where where = Where::here()) {
  return block(syncthreads_and, predicate, where);
}
inline int __syncthreads_or(int predicate, Where where = Where::here()) {
  return block(syncthreads_or, predicate, where);
}

inline void __syncwarp(unsigned mask = 0xffffffff, Where where = Where::here()) { warp(syncwarp, mask, 0, where); }

template <Shuffled T>
auto __shfl_sync(unsigned mask, T value, int lane, int width = 32, Where where = Where::here()) {
  return shuffle(shfl, mask, value, lane, width, where);
}
template <Shuffled T>
auto __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, Where where = Where::here()) {
  return shuffle(shfl_up, mask, value, static_cast<int>(delta), width, where);
}
template <Shuffled T>
auto __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, Where where = Where::here()) {
  return shuffle(shfl_down, mask, value, static_cast<int>(delta), width, where);
}
template <Shuffled T>
auto __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, Where where = Where::here()) {
  return shuffle(shfl_xor, mask, value, lanes, width, where);
}

/// The calling lane alone: CUDA promises no more, and code that hopes for more is found out this way.
inline unsigned __activemask() { return 1U << detail::lane(); }
inline unsigned __ballot_sync(unsigned mask, int predicate, Where where = Where::here()) {
  return warp(ballot, mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, Where where = Where::here()) {
  return static_cast<int>(warp(any, mask, predicate != 0, where));
}
inline int __all_sync(unsigned mask, int predicate, Where where = Where::here()) {
  return static_cast<int>(warp(all, mask, predicate != 0, where));
}

template <Matched T>
unsigned __match_any_sync(unsigned mask, T value, Where where = Where::here()) {
  return warp(match_any, mask, detail::bits_of(value), where);
}
template <Matched T>
unsigned __match_all_sync(unsigned mask, T value, int* all_match, Where where = Where::here()) {
  unsigned const lanes = warp(match_all, mask, detail::bits_of(value), where);
  *all_match = lanes != 0 ? 1 : 0;
  return lanes;
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value, Where where = Where::here()) {
  return warp(reduce_add, mask, value, where);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, Where where = Where::here()) {
  return warp(reduce_min, mask, value, where);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, Where where = Where::here()) {
  return warp(reduce_max, mask, value, where);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, Where where = Where::here()) {
  return warp(reduce_and, mask, value, where);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, Where where = Where::here()) {
  return warp(reduce_or, mask, value, where);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, Where where = Where::here()) {
  return warp(reduce_xor, mask, value, where);
}
inline int __reduce_add_sync(unsigned mask, int value, Where where = Where::here()) {
  return static_cast<int>(warp(reduce_add, mask, static_cast<unsigned>(value), where));
}
inline int __reduce_min_sync(unsigned mask, int value, Where where = Where::here()) {
  return static_cast<int>(warp(reduce_min_signed, mask, static_cast<unsigned>(value), where));
}
inline int __reduce_max_sync(unsigned mask, int value, Where where = Where::here()) {
  return static_cast<int>(warp(reduce_max_signed, mask, static_cast<unsigned>(value), where));
}

// NOLINTEND

}  // namespace simt::words

// NOLINTBEGIN: these are CUDA's names, made global one by one
using simt::words::__activemask, simt::words::__all_sync, simt::words::__any_sync, simt::words::__ballot_sync,
    simt::words::__match_all_sync, simt::words::__match_any_sync, simt::words::__reduce_add_sync,
    simt::words::__reduce_and_sync, simt::words::__reduce_max_sync, simt::words::__reduce_min_sync,
    simt::words::__reduce_or_sync, simt::words::__reduce_xor_sync, simt::words::__shfl_down_sync,
    simt::words::__shfl_sync, simt::words::__shfl_up_sync, simt::words::__shfl_xor_sync, simt::words::__syncthreads,
    simt::words::__syncthreads_and, simt::words::__syncthreads_count, simt::words::__syncthreads_or,
    simt::words::__syncwarp;
// NOLINTEND
