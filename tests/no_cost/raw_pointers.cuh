// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Decode attention as somebody writes it who knows where every byte lies and has no library: a pool of blocks, a block
// table, strides as constants. What view.cuh is compared with, so it does the same in the same order: one warp for each
// query head, a row's 128 elements over its lanes, keys and values of a token loaded together, an online softmax.

#include <cuda_fp16.h>

namespace raw {

constexpr int head_dim = 128, block_size = 16, layers = 32, kv_heads = 8, query_heads = 32;
constexpr int per_lane = head_dim / 32;

/// (a & b) ^ c as a float: a code put into the mantissa of a power of two.
__device__ inline float place(unsigned a, unsigned b, unsigned c) {
  unsigned bits;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(bits) : "r"(a), "r"(b), "r"(c));
  return __uint_as_float(bits);
}

struct F16 {
  static constexpr int row_bytes = 256, param_bytes = 0;
  __device__ static void load(unsigned char const* codes, unsigned char const*, int lane, float (&out)[per_lane]) {
    uint2 const words = *reinterpret_cast<uint2 const*>(codes + lane * 8);
    float2 const low = __half22float2(reinterpret_cast<__half2 const&>(words.x));
    float2 const high = __half22float2(reinterpret_cast<__half2 const&>(words.y));
    out[0] = low.x, out[1] = low.y, out[2] = high.x, out[3] = high.y;
  }
};

struct Int8 {
  static constexpr int row_bytes = 128, param_bytes = 4;
  __device__ static void load(unsigned char const* codes, unsigned char const* params, int lane,
                              float (&out)[per_lane]) {
    float const scale = *reinterpret_cast<float const*>(params);
    unsigned const low = *reinterpret_cast<unsigned const*>(codes + lane * 4), high = low >> 16;
    out[0] = (place(low, 0x00FFU, 0x4B000080U) - 8388736.0F) * scale;
    out[1] = (place(low, 0xFF00U, 0x47008000U) - 32896.0F) * scale;
    out[2] = (place(high, 0x00FFU, 0x4B000080U) - 8388736.0F) * scale;
    out[3] = (place(high, 0xFF00U, 0x47008000U) - 32896.0F) * scale;
  }
};

/// Without the rotation, which is of the query and of the output only, and no part of the loop.
struct Int4 {
  static constexpr int row_bytes = 64, param_bytes = 4;
  __device__ static void load(unsigned char const* codes, unsigned char const* params, int lane,
                              float (&out)[per_lane]) {
    float2 const grid = __half22float2(*reinterpret_cast<__half2 const*>(params));  // scale, minimum
    unsigned const word = *reinterpret_cast<unsigned short const*>(codes + lane * 2);
    out[0] = (place(word, 0x000FU, 0x4B000000U) - 8388608.0F) * grid.x + grid.y;
    out[1] = (place(word, 0x00F0U, 0x49000000U) - 524288.0F) * grid.x + grid.y;
    out[2] = (place(word, 0x0F00U, 0x47000000U) - 32768.0F) * grid.x + grid.y;
    out[3] = (place(word, 0xF000U, 0x45000000U) - 2048.0F) * grid.x + grid.y;
  }
};

template <class Format>
__global__ void decode_attention(unsigned char const* pool, int const* table, unsigned width, int const* lengths,
                                 int layer, float scale, float const* q, float* out) {
  constexpr long long code_tile = kv_heads * block_size * Format::row_bytes;
  constexpr long long param_tile = kv_heads * block_size * Format::param_bytes;
  constexpr long long layer_bytes = 2 * (code_tile + param_tile), block_bytes = layers * layer_bytes;
  int const lane = threadIdx.x, head = blockIdx.y / (query_heads / kv_heads), length = lengths[blockIdx.x];
  long long const row = (static_cast<long long>(blockIdx.x) * gridDim.y + blockIdx.y) * head_dim + lane * per_lane;
  float query[per_lane], acc[per_lane] = {}, max = -INFINITY, sum = 0;
  for (int i = 0; i < per_lane; ++i) query[i] = scale * q[row + i];

  table += static_cast<unsigned long long>(blockIdx.x) * width;
  unsigned char const* const base = pool + layer * layer_bytes;
  for (int b = 0; b * block_size < length; ++b) {
    unsigned char const* const keys = base + table[b] * block_bytes;
    unsigned char const* const values = keys + code_tile + param_tile;
    int const left = length - b * block_size, size = left < block_size ? left : block_size;
#pragma unroll 1  // or the compiler takes one of the two kernels' loops twice, and the other's not
    for (int slot = 0; slot < size; ++slot) {
      long long const r = static_cast<long long>(head) * block_size + slot;
      float k[per_lane], v[per_lane];
      Format::load(keys + r * Format::row_bytes, keys + code_tile + r * Format::param_bytes, lane, k);
      Format::load(values + r * Format::row_bytes, values + code_tile + r * Format::param_bytes, lane, v);
      float score = 0;
      for (int i = 0; i < per_lane; ++i) score += query[i] * k[i];
      for (int step = 16; step > 0; step /= 2) score += __shfl_xor_sync(0xffffffff, score, step);
      float const next = fmaxf(max, score), keep = __expf(max - next), weight = __expf(score - next);
      for (int i = 0; i < per_lane; ++i) acc[i] = acc[i] * keep + weight * v[i];
      sum = sum * keep + weight;
      max = next;
    }
  }
  float const norm = sum > 0 ? __fdividef(1, sum) : 0;
  for (int i = 0; i < per_lane; ++i) out[row + i] = acc[i] * norm;
}

}  // namespace raw
