// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A storage format of one's own (int8_per_group.hpp) in a cache on the host. 04_own_quantizer.cu is the same on a GPU.

#include <algorithm>
#include <cmath>
#include <folio/folio.hpp>
#include <iostream>
#include <random>
#include <vector>

#include "int8_per_group.hpp"

namespace {

constexpr folio::ModelConfig model{.layers = 1, .kv_heads = 2, .head_dim = 128};
constexpr int num_tokens = 100, dim = model.head_dim;

/// Stores rows with Quantizer, reads them back, and gives the largest error of each group of 32 elements of any row.
template <folio::QuantizerPolicy Quantizer>
std::vector<float> errors_by_group(std::vector<float> const& rows) {
  // [use]
  folio::KvCache<folio::Model<model>, Quantizer> cache(folio::CacheConfig{.num_blocks = {16}});
  // [/use]
  folio::Sequence const sequence = cache.create(num_tokens);
  auto const batch = cache.batch({&sequence});
  folio::ops::append(batch.view(), 0, rows.data(), rows.data());
  std::vector<float> keys(rows.size()), values(rows.size());
  folio::ops::gather(batch.view(), 0, {0, 0, num_tokens}, keys.data(), values.data());

  std::vector<float> errors(dim / 32);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    float& error = errors[i % dim / 32];
    error = std::max({error, std::abs(keys[i] - rows[i]), std::abs(values[i] - rows[i])});
  }
  return errors;
}

}  // namespace

int main() {
  // Keys of real models have a few channels that are much larger than the others: here those of the last group.
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> rows(std::size_t{num_tokens} * model.kv_heads * dim);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = uniform(random) * (i % dim < 96 ? 1.0F : 50.0F);

  std::vector<float> const by_group = errors_by_group<Int8PerGroup>(rows);
  std::vector<float> const by_token = errors_by_group<folio::Int8PerToken>(rows);
  bool right = true;
  for (std::size_t group = 0; group < by_group.size(); ++group) {
    float const half_a_scale = (group < 3 ? 1.0F : 50.0F) / 127 / 2 * 1.0001F;
    std::cout << "elements " << group * 32 << " to " << group * 32 + 31 << ": error " << by_group[group]
              << ", should be at most " << half_a_scale << "; with one scale per token " << by_token[group] << '\n';
    right = right && by_group[group] <= half_a_scale && (group == 3 || by_token[group] > 10 * by_group[group]);
  }
  return right && std::cout.flush() ? 0 : 1;
}
