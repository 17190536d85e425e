// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The number formats that a model computes in, for kernels that read or write activations. Device code.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/config.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <type_traits>

namespace folio::ops {

[[nodiscard]] FOLIO_HOST_DEVICE inline float load_element(float x) { return x; }
[[nodiscard]] FOLIO_HOST_DEVICE inline float load_element(Half x) { return f16_to_f32(x.bits); }
[[nodiscard]] FOLIO_HOST_DEVICE inline float load_element(BFloat16 x) { return bf16_to_f32(x.bits); }

FOLIO_HOST_DEVICE inline void store_element(float x, float& to) { to = x; }
FOLIO_HOST_DEVICE inline void store_element(float x, Half& to) { to.bits = f32_to_f16(x); }
FOLIO_HOST_DEVICE inline void store_element(float x, BFloat16& to) { to.bits = f32_to_bf16(x); }

/// Vectorized access: what elements are read and written at once: `load_elements<N>` and `store_elements` of N times
/// sizeof(T) bytes want them aligned to that, or to 16 bytes where it is more, and are one access then, or several of
/// 16 bytes.
template <int N, class T>
[[nodiscard]] FOLIO_HOST_DEVICE inline Pack<float, N> load_elements(T const* from) {
  auto const elements = *aligned_cast<Pack<T, N> const>(from);
  Pack<float, N> floats;
  for (int i = 0; i < N; ++i) floats[i] = load_element(elements[i]);
  return floats;
}
template <int N, class T>
FOLIO_HOST_DEVICE inline void store_elements(Pack<float, N> const& floats, T* to) {
  Pack<T, N> elements;
  for (int i = 0; i < N; ++i) store_element(floats[i], elements[i]);
#if defined(__CUDA_ARCH__)  // in words, each a store at least: of elements nvcc makes a store each where it loses count
  if constexpr (sizeof(elements) % 4 == 0) {
    using Word = std::conditional_t<sizeof(elements) % 8 == 0, std::uint64_t, std::uint32_t>;
    using Words = Pack<Word, static_cast<int>(sizeof(elements) / sizeof(Word))>;
    *aligned_cast<Words>(to) = __builtin_bit_cast(Words, elements);
    return;
  }
#endif
  *aligned_cast<Pack<T, N>>(to) = elements;
}

/// The part of a row that a lane holds: zeros after the row's end. The row is aligned to 16 bytes.
template <int N, class T, class Lanes>
[[nodiscard]] __device__ Pack<float, N> load_part(Lanes const& lanes, T const* row) {
  if (!lanes.active()) return {};
  return load_elements<N>(row + lanes.rank() * N);
}

template <int N, class T, class Lanes>
__device__ void store_part(Lanes const& lanes, Pack<float, N> const& part, T* row) {
  if (lanes.active()) store_elements(part, row + lanes.rank() * N);
}

}  // namespace folio::ops
