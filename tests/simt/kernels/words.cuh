// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Kernels that only call CUDA's functions and write down what they return.

#include <cstdint>

#include "simt/cuda.hpp"

namespace words {

/// out[which][lane]; lane l gives 100 + l.
__global__ void shuffles(int operand, int width, int* out) {
  int const lane = threadIdx.x, value = 100 + lane;
  out[0 * 32 + lane] = __shfl_sync(0xffffffff, value, operand, width);
  out[1 * 32 + lane] = __shfl_up_sync(0xffffffff, value, operand, width);
  out[2 * 32 + lane] = __shfl_down_sync(0xffffffff, value, operand, width);
  out[3 * 32 + lane] = __shfl_xor_sync(0xffffffff, value, operand, width);
}

/// Values of other types; out[lane] is true when all arrived whole.
__global__ void shuffles_of_types(int* out) {
  int const lane = threadIdx.x, other = lane ^ 5;
  long long const wide = __shfl_xor_sync(0xffffffff, (1LL << 40) + lane, 5);
  double const real = __shfl_xor_sync(0xffffffff, 0.25 * lane, 5);
  unsigned const word = __shfl_xor_sync(0xffffffff, 0xf0000000u + lane, 5);
  short const narrow = static_cast<short>(-lane);
  int const promoted = __shfl_xor_sync(0xffffffff, narrow, 5);
  out[lane] = wide == (1LL << 40) + other && real == 0.25 * other && word == 0xf0000000u + other && promoted == -other;
}

/// Only the lanes of `mask` take part. out[which][lane]; lanes that do not take part leave theirs alone.
__global__ void votes(unsigned mask, unsigned yes, unsigned* out) {
  int const lane = threadIdx.x;
  if ((mask >> lane & 1) == 0) return;
  int const predicate = yes >> lane & 1;
  out[0 * 32 + lane] = __ballot_sync(mask, predicate);
  out[1 * 32 + lane] = __any_sync(mask, predicate);
  out[2 * 32 + lane] = __all_sync(mask, predicate);
  out[3 * 32 + lane] = __match_any_sync(mask, lane % 3);
  int all = -1;
  out[4 * 32 + lane] = __match_all_sync(mask, predicate, &all);
  out[5 * 32 + lane] = all;
  out[6 * 32 + lane] = __activemask() >> lane & 1;
}

/// Lane l gives l - 10, signed and unsigned. out[which][lane].
__global__ void reductions(unsigned mask, unsigned* out) {
  int const lane = threadIdx.x, value = lane - 10;
  unsigned const word = value;
  if ((mask >> lane & 1) == 0) return;
  out[0 * 32 + lane] = __reduce_add_sync(mask, word);
  out[1 * 32 + lane] = __reduce_min_sync(mask, word);
  out[2 * 32 + lane] = __reduce_max_sync(mask, word);
  out[3 * 32 + lane] = __reduce_add_sync(mask, value);
  out[4 * 32 + lane] = __reduce_min_sync(mask, value);
  out[5 * 32 + lane] = __reduce_max_sync(mask, value);
  out[6 * 32 + lane] = __reduce_and_sync(mask, word);
  out[7 * 32 + lane] = __reduce_or_sync(mask, word);
  out[8 * 32 + lane] = __reduce_xor_sync(mask, word);
}

/// out[thread] = count, and, or of the predicate "below `limit`".
__global__ void block_votes(int limit, int* out) {
  int const thread = threadIdx.x, predicate = thread < limit ? 4 : 0;
  out[3 * thread] = __syncthreads_count(predicate);
  out[3 * thread + 1] = __syncthreads_and(predicate) != 0;
  out[3 * thread + 2] = __syncthreads_or(predicate) != 0;
}

/// What 100 threads make of variables that begin as 1000, and of the one at [11], which begins as 0.
__global__ void atomics(int* i, unsigned* u, unsigned long long* l, float* f) {
  int const thread = threadIdx.x;
  atomicAdd(&i[0], -thread);
  atomicSub(&i[1], thread);
  atomicMin(&i[2], -thread);
  atomicMax(&i[3], 950 + thread);
  atomicAdd(&u[0], thread);
  atomicMin(&u[1], 950 + thread);
  atomicMax(&u[2], 950 + thread);
  atomicAnd(&u[3], ~(thread & 1));
  atomicOr(&u[4], 1u << (thread % 3));
  atomicXor(&u[5], thread);
  atomicInc(&u[6], 2000);
  atomicDec(&u[7], 2000);
  atomicInc(&u[8], 1);
  unsigned seen = *static_cast<unsigned volatile*>(&u[9]);
  for (unsigned expected = seen + 1; seen != expected; seen = atomicCAS(&u[9], expected, expected + 2)) expected = seen;
  if (atomicExch(&u[10], 7) == 1000) atomicAdd(&u[11], 1);
  atomicAdd(&l[0], 1ull << 40);
  atomicMax(&l[1], 5ull << 40);
  atomicAdd(&f[0], 0.5f);
}

/// Functions on bits and numbers. out[which].
__global__ void numbers(int x, float y, int* out) {
  int n = 0;
  auto const write = [&](int value) { out[n++] = value; };
  write(__popc(x));
  write(__popcll(static_cast<unsigned>(x)));
  write(__clz(x));
  write(__clzll(x));
  write(__ffs(x));
  write(__ffsll(0));
  write(__brev(x));
  write(__byte_perm(x, 0x81828384, 0xc350));
  write(__funnelshift_l(x, 0x12345678, 8));
  write(__funnelshift_r(x, 0x12345678, 8));
  write(__mulhi(x, -x));
  write(__umulhi(x, 0x80000000u));
  write(__dp4a(x, 0x01ff02fe, 5));
  write(__float_as_int(y));
  write(__float_as_uint(-y));
  write(__int_as_float(0x40490fdb) > 3.14f);
  write(__float2int_rn(2.5f));
  write(__float2int_rz(-2.5f));
  write(__float2int_rd(-2.5f));
  write(__float2int_ru(2.5f));
  write(__float2int_rn(1e20f));
  write(min(x, 7));
  write(max(x, 7));
  write(min(1.5f, NAN) == 1.5f);
  write(max(2u, 3u));
  write(__saturatef(y) == 1.0f);
  write(rsqrtf(4.0f) == 0.5f);
  write(__fdividef(1.0f, 4.0f) == 0.25f);
  write(__frcp_rn(4.0f) == 0.25f);
  write(fmaf(2.0f, 3.0f, 1.0f) == 7.0f);
  write(fabsf(__expf(1.0f) - 2.7182818f) < 1e-5f);
  write(fabsf(__logf(2.0f) - 0.6931472f) < 1e-5f);
  write(fabsf(exp2f(__log2f(8.0f)) - 8.0f) < 1e-4f);
}

/// Cache hints and short vectors.
__global__ void hints(float4 const* in, float4* out) {
  float4 const v = __ldg(in), w = __ldcs(in);
  out[0] = make_float4(v.w, v.z, w.y, w.x);
  __stcs(out + 1, __ldcg(in));
}

}  // namespace words
