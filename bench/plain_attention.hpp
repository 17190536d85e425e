// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The baseline of attention: the same mathematics over contiguous f32 arrays by raw pointers, one plain loop that the
// compiler vectorizes.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace folio::bench {

template <std::int32_t dim>
float plain_dot(float const* a, float const* b) {
  float lanes[8] = {};
  for (std::int32_t d = 0; d < dim; d += 8)
    for (std::int32_t j = 0; j < 8; ++j) lanes[j] += a[d + j] * b[d + j];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// The query heads of one kv head over contiguous keys and values [context][dim], 16 tokens at a time, with an online
/// softmax.
template <std::int32_t dim, std::int32_t heads>
void attend_plainly(float const* keys, float const* values, std::int32_t context, float const* q, float* out) {
  constexpr std::int32_t tile = 16;
  float const scale = 1.0F / std::sqrt(static_cast<float>(dim));
  float max[heads], sum[heads] = {};
  std::fill(max, max + heads, -std::numeric_limits<float>::infinity());
  std::fill(out, out + heads * dim, 0.0F);
  auto const add = [&](std::int64_t first, std::int32_t count) __attribute__((always_inline)) {
    for (std::int32_t head = 0; head < heads; ++head) {
      float* const acc = out + head * dim;
      float scores[tile];
      for (std::int32_t t = 0; t < count; ++t)
        scores[t] = scale * plain_dot<dim>(q + head * dim, keys + (first + t) * dim);
      float const next = std::max(max[head], *std::max_element(scores, scores + count));
      float const keep = std::exp(max[head] - next);
      if (keep != 1.0F)
        for (std::int32_t d = 0; d < dim; ++d) acc[d] *= keep;
      sum[head] *= keep;
      for (std::int32_t t = 0; t < count; ++t) {
        float const weight = std::exp(scores[t] - next);
        float const* const value = values + (first + t) * dim;
        sum[head] += weight;
        for (std::int32_t d = 0; d < dim; ++d) acc[d] += weight * value[d];
      }
      max[head] = next;
    }
  };
  std::int64_t first = 0;
  for (; first + tile <= context; first += tile) add(first, tile);
  if (first < context) add(first, static_cast<std::int32_t>(context - first));
  for (std::int32_t head = 0; head < heads; ++head)
    for (std::int32_t d = 0; d < dim; ++d) out[head * dim + d] /= sum[head];
}

}  // namespace folio::bench
