// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <folio/view.hpp>

// [kernel]
/// *largest = the largest magnitude among the keys of sequence 0 in kv head `head`. One thread block of 128 threads.
template <int D, class View>
__global__ void largest_key(View view, int layer, int head, float* largest) {
  __shared__ float of_threads[128];
  auto const sequence = view.sequence(0, layer);
  auto const thread = static_cast<int>(threadIdx.x);
  float mine = 0;
  for (int token = thread; token < sequence.num_tokens(); token += 128) {
    auto const key = sequence.key(head, token);
    for (int d = 0; d < D; d += 8) {
      auto const elements = key.template load<8>(d);
      for (int i = 0; i < 8; ++i) mine = fmaxf(mine, fabsf(elements[i]));
    }
  }
  of_threads[thread] = mine;
  for (int half = 64; half > 0; half /= 2) {
#ifndef FORGET_THE_BARRIER
    __syncthreads();
#endif
    if (thread < half) of_threads[thread] = fmaxf(of_threads[thread], of_threads[thread + half]);
  }
  if (thread == 0) *largest = of_threads[0];
}
// [/kernel]
