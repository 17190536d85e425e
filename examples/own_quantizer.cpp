// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A storage format of one's own, plugged into the cache: a plain struct that meets QuantizerPolicy.

#include <algorithm>
#include <cmath>
#include <folio/folio.hpp>
#include <folio/quantizer/scaling.hpp>
#include <iostream>
#include <random>
#include <vector>

// [quantizer]
/// Integers from -127 to 127 with one scale for each 32 elements, so that an outlier costs accuracy only in its own
/// group: 9 bits per element. The error is at most half a scale.
struct Int8PerGroup {
  static constexpr char const* name = "int8_per_group";
  static constexpr int bits = 8;                              // of one code
  static constexpr folio::Basis basis = folio::Basis::model;  // decoded elements are the model's own
  static constexpr std::int32_t params_dim = 32;              // elements that share what load_params reads
  struct Params {
    float scale;
  };

  FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return (dim + params_dim - 1) / params_dim * static_cast<std::int32_t>(sizeof(float));
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    for (std::int32_t begin = 0; begin < dim; begin += params_dim, params += sizeof(float)) {
      std::int32_t const end = begin + params_dim < dim ? begin + params_dim : dim;
      folio::Scaling const scaling =
          folio::symmetric_scaling(folio::largest_finite_magnitude(row + begin, end - begin), 127.0F);
      std::memcpy(params, &scaling.scale, sizeof(float));
      for (std::int32_t i = begin; i < end; ++i) {
        float const scaled = folio::nan_to_zero(folio::saturate(row[i] * scaling.inverse, 127.0F));
        codes[i] = static_cast<std::byte>(folio::round_to_int(scaled));
      }
    }
  }

  FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    return {folio::load_param<float>(params + dim / params_dim * static_cast<std::int32_t>(sizeof(float)))};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    auto const integers = folio::load_codes<std::int8_t, N>(codes);  // one vector load in a kernel
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(integers[i]) * params.scale;
  }
};
static_assert(folio::QuantizerPolicy<Int8PerGroup>);
// [/quantizer]

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
  folio::ops::gather(batch.view(), 0, 0, 0, num_tokens, keys.data(), values.data());

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
  return right ? 0 : 1;
}
