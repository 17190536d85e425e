// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The plainest KV cache: one sequence, contiguous float arrays as long as the sequence may ever get, attention in two
// passes. Nothing of it comes from Folio, but what its formats leave of a row, so that --check compares two programs
// and not one with itself.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "../model/llama.hpp"
#include "stored_rows.hpp"

namespace serve {

/// Keys and values of one sequence, [layer][kv_head][token][dim], and the attention over them. Rows are floats; with
/// `rows` those that are left once they were stored in a cache's formats.
class ContiguousCache {
 public:
  ContiguousCache(LlamaConfig const& config, std::int32_t max_tokens, StoredRows const& rows = {})
      : config_(config), rows_(rows), max_tokens_(max_tokens), keys_(size()), values_(size()) {}

  [[nodiscard]] std::int32_t num_tokens() const { return num_tokens_; }

  /// Runs `tokens` after those that are here. Afterwards a.hidden holds their last layer's output, and what is due by
  /// then is demoted.
  void run(Llama const& model, std::span<std::int32_t const> tokens, Activations& a) {
    std::vector<std::int32_t> positions;
    for (std::size_t i = 0; i < tokens.size(); ++i) positions.push_back(num_tokens_ + static_cast<std::int32_t>(i));
    auto const num_new = static_cast<std::int32_t>(tokens.size());
    auto const attention = [&](std::int32_t layer, float const* q, float const* k, float const* v, float* out) {
      for (std::int32_t i = 0; i < num_new; ++i) keep(layer, i, k, v);
      for (std::int32_t i = 0; i < num_new; ++i)
        for (std::int32_t head = 0; head < config_.heads; ++head) {
          std::int64_t const at = (std::int64_t{i} * config_.heads + head) * config_.head_dim;
          attend(layer, head, num_tokens_ + i, q + at, out + at);
        }
    };
    model.forward(tokens, positions, attention, a, nullptr);
    if (rows_.own_tokens == OwnTokens::exact) round_new(num_new);
    num_tokens_ += num_new;
    demote();
  }

  /// A token in a layer.
  struct Place {
    std::int32_t layer = 0, token = 0;
  };
  /// The first layer with a key or value that is not finite, and the first such token there. Cost: reads everything.
  [[nodiscard]] std::optional<Place> first_not_finite() const {
    for (std::int32_t layer = 0; layer < config_.layers; ++layer)
      for (std::int32_t token = 0; token < num_tokens_; ++token)
        for (std::int32_t kv_head = 0; kv_head < config_.kv_heads; ++kv_head)
          for (std::int64_t i = row(layer, kv_head, token), end = i + config_.head_dim; i < end; ++i)
            if (!std::isfinite(keys_[static_cast<std::size_t>(i)]) ||
                !std::isfinite(values_[static_cast<std::size_t>(i)]))
              return Place{layer, token};
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::size_t size() const {
    return static_cast<std::size_t>(std::int64_t{config_.layers} * config_.kv_heads * max_tokens_ * config_.head_dim);
  }
  [[nodiscard]] std::int64_t row(std::int32_t layer, std::int32_t kv_head, std::int32_t token) const {
    return ((std::int64_t{layer} * config_.kv_heads + kv_head) * max_tokens_ + token) * config_.head_dim;
  }

  void keep(std::int32_t layer, std::int32_t i, float const* k, float const* v) {
    for (std::int32_t kv_head = 0; kv_head < config_.kv_heads; ++kv_head) {
      std::int64_t const from = (std::int64_t{i} * config_.kv_heads + kv_head) * config_.head_dim;
      std::int64_t const to = row(layer, kv_head, num_tokens_ + i);
      std::copy_n(k + from, config_.head_dim, keys_.begin() + to);
      std::copy_n(v + from, config_.head_dim, values_.begin() + to);
      if (rows_.own_tokens == OwnTokens::stored) round(rows_.first, to);
    }
  }
  /// A step's own tokens, once its attention has read them as they were.
  void round_new(std::int32_t num_new) {
    for (std::int32_t layer = 0; layer < config_.layers; ++layer)
      for (std::int32_t kv_head = 0; kv_head < config_.kv_heads; ++kv_head)
        for (std::int32_t i = 0; i < num_new; ++i) round(rows_.first, row(layer, kv_head, num_tokens_ + i));
  }
  void round(RoundRows const& format, std::int64_t row) {
    if (format.keys == nullptr) return;
    format.keys(keys_.data() + row, config_.head_dim);
    format.values(values_.data() + row, config_.head_dim);
  }
  /// Layers with a window demote nothing.
  void demote() {
    std::int32_t const end = rows_.demoted_end(num_tokens_);
    for (std::int32_t token = std::max(demoted_end_, rows_.sinks); token < end; ++token)
      for (std::int32_t layer = 0; layer < config_.layers; ++layer)
        for (std::int32_t kv_head = 0; kv_head < config_.kv_heads && !config_.has_window(layer); ++kv_head)
          round(rows_.demoted, row(layer, kv_head, token));
    demoted_end_ = std::max(demoted_end_, end);
  }

  /// Softmax of the scaled scores, largest score first subtracted, then the weighted sum of the values.
  void attend(std::int32_t layer, std::int32_t head, std::int32_t position, float const* q, float* out) {
    std::int32_t const kv_head = head / (config_.heads / config_.kv_heads);
    bool const sees_all = !config_.has_window(layer) || position < config_.window;
    std::int32_t const first = sees_all ? 0 : position - config_.window + 1;
    float const scale = 1 / std::sqrt(static_cast<float>(config_.head_dim));
    weights_.clear();
    float largest = -std::numeric_limits<float>::infinity();
    for (std::int32_t t = first; t <= position; ++t) {
      weights_.push_back(dot(q, keys_.data() + row(layer, kv_head, t), config_.head_dim) * scale);
      largest = std::max(largest, weights_.back());
    }
    float sum = 0;
    for (float& weight : weights_) sum += weight = std::exp(weight - largest);
    std::fill_n(out, config_.head_dim, 0.0f);
    for (std::int32_t t = first; t <= position; ++t) {
      float const weight = weights_[static_cast<std::size_t>(t - first)] / sum;
      float const* const value = values_.data() + row(layer, kv_head, t);
      for (std::int32_t d = 0; d < config_.head_dim; ++d) out[d] += weight * value[d];
    }
  }

  LlamaConfig const& config_;
  StoredRows rows_;
  std::int32_t max_tokens_;
  std::int32_t num_tokens_ = 0, demoted_end_ = 0;
  std::vector<float> keys_, values_;
  std::vector<float> weights_;
};

}  // namespace serve
