// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's short vectors and dim3, with CUDA's sizes and alignments, for where the toolkit's own are not at hand.

// NOLINTBEGIN: these are CUDA's names
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define SIMT_VECTORS(T, name, alignment2, alignment4)                           \
  struct name##1 {                                                              \
    T x;                                                                        \
  };                                                                            \
  struct alignas(alignment2) name##2 {                                          \
    T x, y;                                                                     \
  };                                                                            \
  struct name##3 {                                                              \
    T x, y, z;                                                                  \
  };                                                                            \
  struct alignas(alignment4) name##4 {                                          \
    T x, y, z, w;                                                               \
  };                                                                            \
  constexpr name##1 make_##name##1(T x) { return {x}; }                         \
  constexpr name##2 make_##name##2(T x, T y) { return {x, y}; }                 \
  constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }         \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; } \
  static_assert(sizeof(name##2) == 2 * sizeof(T) && sizeof(name##4) == 4 * sizeof(T), "CUDA's sizes")

SIMT_VECTORS(signed char, char, 2, 4);
SIMT_VECTORS(unsigned char, uchar, 2, 4);
SIMT_VECTORS(short, short, 4, 8);
SIMT_VECTORS(unsigned short, ushort, 4, 8);
SIMT_VECTORS(int, int, 8, 16);
SIMT_VECTORS(unsigned, uint, 8, 16);
SIMT_VECTORS(float, float, 8, 16);
SIMT_VECTORS(long long, longlong, 16, 16);
SIMT_VECTORS(unsigned long long, ulonglong, 16, 16);
SIMT_VECTORS(double, double, 16, 16);

#undef SIMT_VECTORS
// NOLINTEND
