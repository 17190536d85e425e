// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A model over a store: sequences that grow, and the logits after their tokens.

#include <algorithm>
#include <cstdint>
#include <folio/thread_pool.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bad_input.hpp"
#include "finite.hpp"
#include "model/llama.hpp"
#include "store.hpp"

namespace evaluate {

using Tokens = std::vector<std::int32_t>;

/// Keys and values of tokens, [layer][token][kv_head][dim].
struct Rows {
  std::vector<std::vector<float>> keys, values;
};

/// Changes keys and values, [num_rows][head_dim], before a layer keeps them.
using Disturb = std::function<void(std::int32_t layer, float* keys, float* values, std::int64_t num_rows)>;

/// Runs tokens through the model and keeps their keys and values in the store. One owner thread; the work is shared
/// over the store's threads, and no number depends on how many there are; nor on the cut into steps, but for a store
/// that demotes, which does so between them.
class Runner {
 public:
  Runner(serve::Llama const& model, Store& store, folio::ThreadPool* threads, Disturb disturb = nullptr)
      : model_(model), store_(store), threads_(threads), disturb_(std::move(disturb)) {}

  void restart(std::int32_t num_sequences) {
    store_.restart(num_sequences);
    lengths_.assign(static_cast<std::size_t>(num_sequences), 0);
  }

  /// Tokens more[i] go after sequence i, one after the other in one step.
  void step(std::span<std::span<std::int32_t const> const> more) {
    Tokens tokens, positions, num_new;
    for (std::size_t i = 0; i < more.size(); ++i) {
      num_new.push_back(static_cast<std::int32_t>(more[i].size()));
      for (std::int32_t const token : more[i]) {
        tokens.push_back(token);
        positions.push_back(lengths_[i]++);
      }
    }
    num_tokens_ = static_cast<std::int64_t>(tokens.size());
    store_.begin_step(num_new);
    model_.forward(
        tokens, positions,
        [this](std::int32_t layer, float const* q, float const* k, float const* v, float* out) {
          attend(layer, q, k, v, out);
        },
        activations_, threads_);
    require_finite(activations_.hidden);
  }

  /// The only sequence gets the first `num_tokens` tokens of `rows`, whose keys and values are known: nothing is
  /// computed.
  void append(Rows const& rows, std::int64_t num_tokens) {
    std::int64_t const row = std::int64_t{model_.config().kv_heads} * model_.config().head_dim;
    for (std::int64_t begin = 0; begin < num_tokens; begin += store_.step_tokens()) {
      auto const num_new = static_cast<std::int32_t>(std::min<std::int64_t>(store_.step_tokens(), num_tokens - begin));
      store_.begin_step({&num_new, 1});
      for (std::size_t layer = 0; layer < rows.keys.size(); ++layer)
        store_.append(static_cast<std::int32_t>(layer), rows.keys[layer].data() + begin * row,
                      rows.values[layer].data() + begin * row);
      lengths_.front() += num_new;
    }
  }

  /// The most tokens of a sequence in a step.
  [[nodiscard]] std::size_t step_tokens() const { return static_cast<std::size_t>(store_.step_tokens()); }

  /// The logits after every token of the last step, [token][vocab].
  void logits(std::vector<float>& out) { newest_logits(num_tokens_, out); }

  /// The logits after the newest `num` tokens of the last step, [token][vocab].
  void newest_logits(std::int64_t num, std::vector<float>& out) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = num_tokens_ - num; row < num_tokens_; ++row) rows.push_back(row);
    compute_logits(rows, out);
  }

  /// The logits after the last token of each sequence, all of which took part in the last step: [sequence][vocab].
  void last_logits(std::span<std::span<std::int32_t const> const> step, std::vector<float>& out) {
    std::vector<std::int64_t> rows;
    std::int64_t row = -1;
    for (auto const& part : step) rows.push_back(row += static_cast<std::int64_t>(part.size()));
    compute_logits(rows, out);
  }

 private:
  void compute_logits(std::span<std::int64_t const> rows, std::vector<float>& out) {
    model_.logits(rows, activations_, out, threads_);
    require_finite(out);
  }

  /// Throws BadInput.
  void require_finite(std::span<float const> numbers) const {
    if (serve::all_finite(numbers)) return;
    std::string const tensor = model_.first_not_finite();
    throw serve::BadInput("The model's numbers are not finite, " +
                          (tensor.empty() ? "though all weights are." : "because " + tensor + "."));
  }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) {
    if (!disturb_) return store_.attend(layer, q, k, v, out);
    std::int64_t const num_rows = num_tokens_ * model_.config().kv_heads;
    auto const size = static_cast<std::size_t>(num_rows * model_.config().head_dim);
    keys_.assign(k, k + size);
    values_.assign(v, v + size);
    disturb_(layer, keys_.data(), values_.data(), num_rows);
    store_.attend(layer, q, keys_.data(), values_.data(), out);
  }

  serve::Llama const& model_;
  Store& store_;
  folio::ThreadPool* threads_;
  Disturb disturb_;
  serve::Activations activations_;
  std::vector<std::int32_t> lengths_;
  std::int64_t num_tokens_ = 0;  // of the last step
  std::vector<float> keys_, values_;
};

/// The likeliest token; of equals the first.
[[nodiscard]] inline std::int32_t likeliest(std::span<float const> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// What greedy decoding appends to each prompt: `num_tokens` tokens for each, stop tokens included as any other. The
/// prompts are of one length.
[[nodiscard]] inline std::vector<Tokens> generate(Runner& runner, std::vector<Tokens> const& prompts,
                                                  std::int32_t num_tokens, std::int32_t vocab) {
  std::vector<Tokens> out(prompts.size());
  std::vector<std::span<std::int32_t const>> step(prompts.size());
  std::size_t const size = prompts.front().size();
  runner.restart(static_cast<std::int32_t>(prompts.size()));
  for (std::size_t begin = 0; begin < size; begin += runner.step_tokens()) {
    for (std::size_t i = 0; i < prompts.size(); ++i)
      step[i] = std::span(prompts[i]).subspan(begin, std::min(runner.step_tokens(), size - begin));
    runner.step(step);
  }
  std::vector<float> logits;
  for (std::int32_t n = 0; n < num_tokens; ++n) {
    if (n > 0) runner.step(step);
    runner.last_logits(step, logits);
    auto const width = static_cast<std::size_t>(vocab);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i].push_back(likeliest(std::span<float const>(logits).subspan(i * width, width)));
      step[i] = std::span<std::int32_t const>(&out[i].back(), 1);
    }
  }
  return out;
}

}  // namespace evaluate
