// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Did paging, batching, forking and preemption change anything? Runs each request again, alone, on a plain contiguous
// cache: of f32, or of what the formats of the run's cache leave of each row.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/thread_pool.hpp>
#include <span>
#include <string>
#include <vector>

#include "caches/contiguous_cache.hpp"
#include "engine.hpp"
#include "model/llama.hpp"
#include "sampler.hpp"

namespace serve {

struct CheckResult {
  bool identical = true;  ///< every token is the same
  bool explained = true;  ///< ... or rounding explains the difference
  std::int64_t ties = 0;  ///< tokens that differ because the draw fell on the border between both, see near_border
  double agreement = 1;   ///< tokens before a sample's first difference that is no tie, as a share of all tokens
  std::string first_difference;  ///< one sentence; empty when there is none
};

/// Whether the choice of the token with these logits is so close to that of `other` that the last bits of the logits
/// decide. Two ways to sum the same softmax differ by about 1e-5 in the logits of the bundled model, and so by 1e-7 in
/// the running sum of shares that a draw is compared with: about one draw in four million lands between. It says
/// nothing about the cache, so --check counts it apart.
[[nodiscard]] inline bool near_border(Sampler& sampler, std::span<float const> logits, double u, std::int32_t token,
                                      std::int32_t other) {
  constexpr float close_logits = 1e-3f;
  constexpr double close_draws = 1e-4;
  if (sampler.is_greedy())
    return logits[static_cast<std::size_t>(token)] - logits[static_cast<std::size_t>(other)] <= close_logits;
  return sampler.draw(logits, std::max(0.0, u - close_draws)) == other ||
         sampler.draw(logits, std::min(1.0, u + close_draws)) == other;
}

/// How one sample compares with the same sample alone.
struct Comparison {
  std::int64_t same = 0;  ///< tokens before the first difference that is no tie
  std::int64_t ties = 0;
  bool explained = true;         ///< no difference, or ties only
  std::int64_t differs_at = -1;  ///< the first difference that is no tie, else the first tie; -1: none
  std::int32_t alone_token = 0;  ///< what was drawn alone there
};

/// Runs one request alone and compares its samples, [sample] tokens, with `completions`. The prompt is read once, in
/// steps that end at `steps` where that matters; each sample starts again after it and goes on to its end, or to its
/// first difference that is no tie.
[[nodiscard]] inline std::vector<Comparison> compare_alone(Llama const& model, Tokens const& prompt,
                                                           std::int32_t request, EngineOptions const& options,
                                                           std::vector<Tokens> const& completions,
                                                           std::vector<std::int32_t> const& steps,
                                                           StoredRows const& rows) {
  auto const prompt_size = static_cast<std::int32_t>(prompt.size());
  ContiguousCache with_prompt(model.config(), prompt_size + options.max_tokens, rows);
  Activations a;
  Sampler sampler(options.sampling);
  std::vector<float> after_prompt, logits;
  auto const logits_of_last = [&](std::size_t num_tokens, std::vector<float>& out) {
    std::int64_t const row = static_cast<std::int64_t>(num_tokens) - 1;
    model.logits({&row, 1}, a, out, nullptr);
  };
  for (std::size_t begin = 0, step = 0; begin < prompt.size(); ++step) {
    std::size_t end = begin + 256;  // where it does not matter
    if (rows.depend_on_steps() && step < steps.size()) end = static_cast<std::size_t>(steps[step]);
    auto const part = std::span(prompt).subspan(begin, std::min(end, prompt.size()) - begin);
    with_prompt.run(model, part, a);
    begin += part.size();
    if (begin == prompt.size()) logits_of_last(part.size(), after_prompt);
  }
  std::vector<Comparison> comparisons;
  for (std::size_t sample = 0; sample < completions.size(); ++sample) {
    Comparison& c = comparisons.emplace_back();
    logits = after_prompt;
    ContiguousCache cache(with_prompt);
    for (std::int32_t const& token : completions[sample]) {
      if (&token != completions[sample].data()) {
        cache.run(model, {&token - 1, 1}, a);
        logits_of_last(1, logits);
      }
      double const u = uniform(options.sampling.seed,
                               {request, static_cast<std::int32_t>(sample), static_cast<std::int32_t>(c.same)});
      std::int32_t const alone = sampler.draw(logits, u);
      if (alone != token) {
        bool const tie = near_border(sampler, logits, u, alone, token);
        if (!tie || c.ties == 0) {
          c.differs_at = c.same;
          c.alone_token = alone;
        }
        c.explained = tie;
        if (!tie) break;
        ++c.ties;
      }
      ++c.same;
    }
  }
  return comparisons;
}

/// Whether a sample ends where it should: at the first token that stops it, or after max_tokens.
[[nodiscard]] inline bool ends_right(Tokens const& tokens, Tokens const& stop_tokens, EngineOptions const& options) {
  for (std::size_t n = 1; n <= tokens.size(); ++n)
    if (stops(options, stop_tokens, std::span(tokens).first(n))) return n == tokens.size();
  return static_cast<std::int64_t>(tokens.size()) == options.max_tokens;
}

/// Compares a run's completions, token by token, with those of each request alone, whose rows are f32, or in the
/// formats of `rows`. Requests run side by side on the threads of `options`.
[[nodiscard]] inline CheckResult check(Llama const& model, std::vector<Tokens> const& prompts,
                                       EngineOptions const& options, RunResult const& run,
                                       StoredRows const& rows = {}) {
  std::vector<std::vector<Comparison>> all(prompts.size());
  folio::parallel_for(options.threads, static_cast<std::int64_t>(prompts.size()), [&](std::int64_t i) {
    auto const request = static_cast<std::size_t>(i);
    all[request] = compare_alone(
        model, prompts[request], static_cast<std::int32_t>(i), options, run.completions[request],
        request < run.prompt_steps.size() ? run.prompt_steps[request] : std::vector<std::int32_t>(), rows);
  });

  CheckResult result;
  std::int64_t same = 0, total = 0;
  for (std::size_t request = 0; request < all.size(); ++request)
    for (std::size_t sample = 0; sample < all[request].size(); ++sample) {
      Comparison const& c = all[request][sample];
      Tokens const& tokens = run.completions[request][sample];
      bool const ends = ends_right(tokens, model.config().stop_tokens, options);
      same += c.same;
      total += static_cast<std::int64_t>(tokens.size());
      result.ties += c.ties;
      if (c.differs_at < 0 && ends) continue;
      bool const first =
          result.identical || (result.explained && !(c.explained && ends));  // a tie is told only if nothing else is
      result.identical = false;
      result.explained = result.explained && c.explained && ends;
      if (!first) continue;
      std::string const which = "Request " + std::to_string(request + 1) + ", sample " + std::to_string(sample + 1);
      result.first_difference =
          c.differs_at < 0
              ? which + " has " + std::to_string(tokens.size()) + " tokens, which is not where it should end."
              : which + ": token " + std::to_string(c.differs_at + 1) + " is " +
                    std::to_string(tokens[static_cast<std::size_t>(c.differs_at)]) +
                    ", but alone on a contiguous cache it is " + std::to_string(c.alone_token) +
                    (c.explained ? "; the draw fell on the border between both, so rounding decided." : ".");
    }
  result.agreement = total == 0 ? 1.0 : static_cast<double>(same) / static_cast<double>(total);
  return result;
}

}  // namespace serve
