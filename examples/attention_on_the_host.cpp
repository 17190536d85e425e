// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// An attention of one's own: one decode step of three sequences, read through the view, and checked against
// ops::attend.

#include <algorithm>
#include <cmath>
#include <folio/folio.hpp>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

namespace {

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::F16>;
constexpr int num_query_heads = 8, heads_per_kv_head = num_query_heads / model.kv_heads, dim = model.head_dim;

// [attention]
/// out = softmax(q k / sqrt(dim)) v for one query head of a sequence's last token, with a running maximum
/// (arXiv:1805.02867). The same for every layout and every format that does not rotate: the view decodes. Layers
/// without a window.
template <class View>
void decode_attention(View const& view, int i, int layer, int kv_head, float const* q, float* out) {
  auto const sequence = view.sequence(i, layer);  // keep it: its blocks refer to it
  float max = -std::numeric_limits<float>::infinity(), sum = 0;
  std::fill(out, out + dim, 0.0F);
  for (auto const block : sequence.blocks()) {
    for (int slot = 0; slot < block.size(); ++slot) {
      auto const key = block.key(kv_head, slot);
      float score = 0;
      for (int d = 0; d < dim; d += 8) {
        folio::Vec<8> const k = key.template load<8>(d);  // one vector load, decoded to floats
        for (int j = 0; j < 8; ++j) score += q[d + j] * k[j];
      }
      score /= std::sqrt(float{dim});

      float const next = std::max(max, score), keep = std::exp(max - next), weight = std::exp(score - next);
      auto const value = block.value(kv_head, slot);
      for (int d = 0; d < dim; d += 8) {
        folio::Vec<8> const v = value.template load<8>(d);
        for (int j = 0; j < 8; ++j) out[d + j] = out[d + j] * keep + weight * v[j];
      }
      sum = sum * keep + weight;
      max = next;
    }
  }
  for (int d = 0; d < dim; ++d) out[d] /= sum;
}
// [/attention]

std::vector<float> random_floats(std::size_t n) {
  static std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(n);
  for (float& x : numbers) x = normal(random);
  return numbers;
}

}  // namespace

int main() {
  Cache cache(folio::CacheConfig{.num_blocks = {64}});
  // [batch]
  folio::Sequence a = cache.create(5), b = cache.create(100), c = cache.create(33);  // prompts of three lengths
  auto const prefill = cache.batch({&a, &b, &c});                                    // 138 query tokens
  // [/batch]
  for (int layer = 0; layer < model.layers; ++layer) {
    std::vector<float> const keys = random_floats(138 * model.kv_heads * dim), values = random_floats(keys.size());
    folio::ops::append(prefill.view(), layer, keys.data(), values.data());
  }

  // [decode]
  for (folio::Sequence* sequence : {&a, &b, &c}) sequence->extend(1);
  auto const batch = cache.batch({&a, &b, &c});  // one query token each: those of the last append
  auto const view = batch.view();
  // [/decode]
  int num_wrong = 0;
  for (int layer = 0; layer < model.layers; ++layer) {
    std::vector<float> const keys = random_floats(3 * model.kv_heads * dim), values = random_floats(keys.size());
    folio::ops::append(view, layer, keys.data(), values.data());

    std::vector<float> const q = random_floats(3 * num_query_heads * dim);
    std::vector<float> mine(q.size()), theirs(q.size());
    for (int i = 0; i < view.num_sequences(); ++i) {
      for (int head = 0; head < num_query_heads; ++head) {
        std::size_t const row = (static_cast<std::size_t>(i) * num_query_heads + static_cast<std::size_t>(head)) * dim;
        decode_attention(view, i, layer, head / heads_per_kv_head, q.data() + row, mine.data() + row);
      }
    }
    folio::ops::attend(view, layer, folio::AttentionIo{q.data(), num_query_heads, theirs.data()});
    for (std::size_t j = 0; j < mine.size(); ++j) {
      if (std::abs(mine[j] - theirs[j]) < 1e-5F) continue;
      if (num_wrong++ == 0)
        std::cout << "layer " << layer << ", element " << j << ": " << mine[j] << " here, " << theirs[j]
                  << " from ops::attend\n";
    }
  }
  std::cout << num_wrong << " elements differ from ops::attend by 1e-5 or more, should be 0\n";
  return num_wrong == 0 && std::cout.flush() ? 0 : 1;
}
