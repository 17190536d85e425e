// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's atomic functions, fences, and loads and stores with a cache hint.

#include <type_traits>

#include "simt/detail.hpp"

namespace simt::detail {

/// Replaces *address by change(*address), and returns what was there. Indivisible, since no fiber runs meanwhile.
/// Not instrumented: before_atomic() tells the shadow memory that these accesses are no race.
template <class T, class Change>
__attribute__((no_sanitize("thread"))) T atomic_update(T* address, Change change) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "an atomic of CUDA has at most 8 bytes");
  before_atomic(address, sizeof(T));
  T const old = *address;
  *address = change(old);
  return old;
}

template <class T>
concept Integer = std::is_integral_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

/// `T` where it must not be deduced, so that atomicAdd(float*, 1) works as in CUDA.
template <class T>
using Same = std::type_identity_t<T>;

/// Integers wrap around, also signed ones.
template <class T>
T wrapping_sum(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

}  // namespace simt::detail

namespace simt::words {

using detail::atomic_update, detail::Integer, detail::Same;

// NOLINTBEGIN: these are CUDA's names

template <class T>
T atomicAdd(T* address, Same<T> value) {
  return atomic_update(address, [&](T old) { return detail::wrapping_sum(old, value); });
}
template <Integer T>
T atomicSub(T* address, Same<T> value) {
  using Unsigned = std::make_unsigned_t<T>;
  return atomic_update(
      address, [&](T old) { return static_cast<T>(static_cast<Unsigned>(old) - static_cast<Unsigned>(value)); });
}
template <class T>
T atomicExch(T* address, Same<T> value) {
  return atomic_update(address, [&](T) { return value; });
}
template <Integer T>
T atomicMin(T* address, Same<T> value) {
  return atomic_update(address, [&](T old) { return value < old ? value : old; });
}
template <Integer T>
T atomicMax(T* address, Same<T> value) {
  return atomic_update(address, [&](T old) { return old < value ? value : old; });
}
template <Integer T>
T atomicAnd(T* address, Same<T> value) {
  return atomic_update(address, [&](T old) { return old & value; });
}
template <Integer T>
T atomicOr(T* address, Same<T> value) {
  return atomic_update(address, [&](T old) { return old | value; });
}
template <Integer T>
T atomicXor(T* address, Same<T> value) {
  return atomic_update(address, [&](T old) { return old ^ value; });
}
template <class T>
T atomicCAS(T* address, Same<T> expected, Same<T> value) {
  return atomic_update(address, [&](T old) { return old == expected ? value : old; });
}
/// Counts up to `last`, then starts again at 0.
inline unsigned atomicInc(unsigned* address, unsigned last) {
  return atomic_update(address, [&](unsigned old) { return old >= last ? 0 : old + 1; });
}
/// Counts down from `last` to 0, then starts again.
inline unsigned atomicDec(unsigned* address, unsigned last) {
  return atomic_update(address, [&](unsigned old) { return old == 0 || old > last ? last : old - 1; });
}

inline void __threadfence_block() { detail::fence(detail::Scope::block); }
inline void __threadfence() { detail::fence(detail::Scope::device); }
inline void __threadfence_system() { detail::fence(detail::Scope::device); }
inline void __nanosleep(unsigned) { detail::yield(); }

template <class T>
T __ldg(T const* address) {
  return *address;
}
template <class T>
T __ldca(T const* address) {
  return *address;
}
template <class T>
T __ldcg(T const* address) {
  return *address;
}
template <class T>
T __ldcs(T const* address) {
  return *address;
}
template <class T>
T __ldcv(T const* address) {
  return *address;
}
template <class T>
T __ldlu(T const* address) {
  return *address;
}
template <class T>
void __stcg(T* address, Same<T> value) {
  *address = value;
}
template <class T>
void __stcs(T* address, Same<T> value) {
  *address = value;
}
template <class T>
void __stwb(T* address, Same<T> value) {
  *address = value;
}
template <class T>
void __stwt(T* address, Same<T> value) {
  *address = value;
}

// NOLINTEND

}  // namespace simt::words

// NOLINTBEGIN: these are CUDA's names, made global one by one
using simt::words::__ldca, simt::words::__ldcg, simt::words::__ldcs, simt::words::__ldcv, simt::words::__ldg,
    simt::words::__ldlu, simt::words::__nanosleep, simt::words::__stcg, simt::words::__stcs, simt::words::__stwb,
    simt::words::__stwt, simt::words::__threadfence, simt::words::__threadfence_block,
    simt::words::__threadfence_system, simt::words::atomicAdd, simt::words::atomicAnd, simt::words::atomicCAS,
    simt::words::atomicDec, simt::words::atomicExch, simt::words::atomicInc, simt::words::atomicMax,
    simt::words::atomicMin, simt::words::atomicOr, simt::words::atomicSub, simt::words::atomicXor;
// NOLINTEND
