// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the predictions of a model with one cache differ from those with the reference, over the same text.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/thread_pool.hpp>
#include <numbers>
#include <numeric>
#include <span>
#include <vector>

#include "runner.hpp"

namespace evaluate {

/// The stretches of text that are read, each `size` tokens and the one after them, spread evenly over the text.
[[nodiscard]] inline std::vector<std::span<std::int32_t const>> cut_windows(Tokens const& text, std::int32_t size,
                                                                            std::int32_t wanted) {
  auto const length = static_cast<std::int64_t>(size) + 1;
  auto const num_tokens = static_cast<std::int64_t>(text.size());
  std::int64_t const num = std::min<std::int64_t>(wanted, num_tokens / length);
  std::vector<std::span<std::int32_t const>> windows;
  for (std::int64_t i = 0; i < num; ++i) {
    std::int64_t const begin = num == 1 ? 0 : (num_tokens - length) * i / (num - 1);
    windows.push_back(std::span(text).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(length)));
  }
  return windows;
}

/// One prediction of one token, in bits.
struct Prediction {
  double surprise = 0;   ///< -log2 of the probability of the token that came
  double kl = 0;         ///< Kullback-Leibler divergence from the reference's distribution to this one
  bool same_top = true;  ///< the likeliest token is the reference's
};

/// log of the sum of exponentiated logits.
[[nodiscard]] inline double log_sum_exp(std::span<float const> logits) {
  double const largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float const x : logits) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

/// Compares two rows of logits before `next`.
[[nodiscard]] inline Prediction compare(std::span<float const> reference, std::span<float const> logits,
                                        std::int32_t next) {
  double const reference_norm = log_sum_exp(reference), norm = log_sum_exp(logits);
  double kl = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    double const log_share = reference[i] - reference_norm;
    kl += std::exp(log_share) * (log_share - (logits[i] - norm));
  }
  double const bits = 1 / std::numbers::ln2;
  return {(norm - logits[static_cast<std::size_t>(next)]) * bits, std::max(0.0, kl) * bits,
          likeliest(reference) == likeliest(logits)};
}

/// The logits after every token of a window but the last, [token][vocab], computed in chunks.
inline void read_window(Runner& runner, std::span<std::int32_t const> window, std::vector<float>& logits) {
  std::size_t const chunk = runner.step_tokens();
  runner.restart(1);
  logits.clear();
  std::vector<float> part;
  for (std::size_t begin = 0; begin + 1 < window.size(); begin += chunk) {
    std::span<std::int32_t const> const tokens = window.subspan(begin, std::min(chunk, window.size() - 1 - begin));
    runner.step({&tokens, 1});
    runner.logits(part);
    logits.insert(logits.end(), part.begin(), part.end());
  }
}

/// The predictions of one format, [window][token of the window].
using Predictions = std::vector<std::vector<Prediction>>;

/// Reads `window` by `runner` and compares with the reference's logits.
[[nodiscard]] inline std::vector<Prediction> compare_window(Runner& runner, std::span<std::int32_t const> window,
                                                            std::vector<float> const& reference, std::int32_t vocab,
                                                            folio::ThreadPool* threads) {
  std::vector<float> logits;
  read_window(runner, window, logits);
  std::vector<Prediction> out(window.size() - 1);
  auto const width = static_cast<std::size_t>(vocab);
  folio::parallel_for(threads, static_cast<std::int64_t>(out.size()), [&](std::int64_t t) {
    auto const i = static_cast<std::size_t>(t);
    out[i] = compare(std::span(reference).subspan(i * width, width),
                     std::span<float const>(logits).subspan(i * width, width), window[i + 1]);
  });
  return out;
}

/// Bits for each unit of text over the predictions that had from `first` to `last` tokens to look back at, the token
/// before the predicted one included.
struct ContextBits {
  std::int32_t first = 0, last = 0;
  double bits = 0;
};

/// What the predictions of one format come to.
struct Quality {
  std::int64_t num_predictions = 0;
  double bits = 0;                                ///< for each unit of text: a byte, or a token without one
  double over_reference = 0, standard_error = 0;  ///< of bits; the error from the spread between windows
  double kl_mean = 0, kl_high = 0, kl_max = 0;    ///< in bits for each token; kl_high: 99.9 percent are not larger
  double top_agreement = 0;
  std::vector<ContextBits> contexts;
};

/// The mean and the standard error of the mean.
[[nodiscard]] inline std::pair<double, double> mean_and_error(std::vector<double> const& values) {
  auto const n = static_cast<double>(values.size());
  double const mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (double const value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0.0};
}

/// `contexts` are ascending; `units_per_token` are the bytes of text that a token stands for.
[[nodiscard]] inline Quality summarize(Predictions const& reference, Predictions const& predictions,
                                       std::vector<std::int32_t> const& contexts, double units_per_token) {
  Quality quality;
  std::vector<double> kls, window_bits, window_over;
  double num_same = 0;
  for (std::size_t w = 0; w < predictions.size(); ++w) {
    double bits = 0, over = 0;
    for (std::size_t t = 0; t < predictions[w].size(); ++t) {
      Prediction const& p = predictions[w][t];
      kls.push_back(p.kl);
      num_same += p.same_top ? 1 : 0;
      bits += p.surprise;
      over += p.surprise - reference[w][t].surprise;
    }
    double const units = static_cast<double>(predictions[w].size()) * units_per_token;
    window_bits.push_back(bits / units);
    window_over.push_back(over / units);
  }
  quality.num_predictions = static_cast<std::int64_t>(kls.size());
  quality.bits = mean_and_error(window_bits).first;
  std::tie(quality.over_reference, quality.standard_error) = mean_and_error(window_over);
  quality.kl_mean = mean_and_error(kls).first;
  std::sort(kls.begin(), kls.end());
  quality.kl_high = kls[static_cast<std::size_t>(std::ceil(0.999 * static_cast<double>(kls.size()))) - 1];
  quality.kl_max = kls.back();
  quality.top_agreement = num_same / static_cast<double>(kls.size());
  std::int32_t first = 1;
  for (std::int32_t const last : contexts) {
    double bits = 0;
    for (auto const& window : predictions)
      for (std::int32_t t = first; t <= last; ++t) bits += window[static_cast<std::size_t>(t - 1)].surprise;
    quality.contexts.push_back(
        {first, last, bits / (static_cast<double>(predictions.size()) * (last - first + 1) * units_per_token)});
    first = last + 1;
  }
  return quality;
}

/// How free generations agree with the reference's.
struct Agreement {
  double common_prefix = 0;  ///< mean number of tokens before the first that differs
  double equal = 0;          ///< share of all tokens that are equal at their place
};

[[nodiscard]] inline Agreement compare_generations(std::vector<Tokens> const& reference,
                                                   std::vector<Tokens> const& generated) {
  Agreement agreement;
  double num_tokens = 0;
  for (std::size_t i = 0; i < generated.size(); ++i) {
    auto const differs = std::mismatch(generated[i].begin(), generated[i].end(), reference[i].begin()).first;
    agreement.common_prefix += static_cast<double>(differs - generated[i].begin());
    for (std::size_t t = 0; t < generated[i].size(); ++t) agreement.equal += generated[i][t] == reference[i][t] ? 1 : 0;
    num_tokens += static_cast<double>(generated[i].size());
  }
  agreement.common_prefix /= static_cast<double>(generated.size());
  agreement.equal /= num_tokens;
  return agreement;
}

}  // namespace evaluate
