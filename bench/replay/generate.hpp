// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Traffic of known kinds, made up from seeds.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <folio/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trace.hpp"

namespace folio::bench {

/// Makes traces. Every block that is not a repetition has an id of its own.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed) {}

  /// Questions about long documents: some documents are asked for more than others, arrivals are Poisson.
  void documents(double begin, double seconds, double rate, std::int32_t num_documents) {
    if (documents_.size() < static_cast<std::size_t>(num_documents))
      for (std::int32_t i = 0; i < num_documents; ++i) documents_.push_back(fresh(between(30, 150)));
    for (double t = begin + exponential(rate); t < begin + seconds; t += exponential(rate)) {
      auto const popular = std::pow(uniform(), 2.0);  // the first tenth gets a third of the questions
      add(t, documents_[static_cast<std::size_t>(popular * num_documents)], between(1, 3));
    }
  }

  /// Long documents that come and go: each is asked about some times, by whoever is near it in time, and then by
  /// nobody. Arrivals and times between questions are Poisson. What was found often is as dead as all else, soon.
  void reports(double begin, double seconds, double rate) {
    for (double t = begin + exponential(rate); t < begin + seconds; t += exponential(rate)) {
      std::vector<std::int32_t> const document = fresh(between(200, 1000));
      double now = t;
      do {
        add(now, document, between(1, 3));
        now += exponential(1.0 / 60);
      } while (uniform() < 0.8 && now < begin + seconds);
    }
  }

  /// Conversations: an opening below a shared system prompt, then turns after times to think. Many end at once.
  void chat(double begin, double seconds, double rate) {
    std::vector<std::int32_t> const system = fresh(2);
    for (double t = begin + exponential(rate); t < begin + seconds; t += exponential(rate)) {
      std::vector<std::int32_t> prompt = system;
      double now = t;
      extend(prompt, long_tailed(8, 100));
      while (true) {
        add(now, prompt, 1);
        if (uniform() < 0.4) break;
        now += 20 + exponential(1.0 / 100);
        if (now >= begin + seconds) break;
        extend(prompt, long_tailed(2, 20));
      }
    }
  }

  /// Agents: the prompt grows with every tool's answer, soon after the last; at 250 blocks it begins anew.
  void agents(double begin, double seconds, double rate) {
    std::array<std::vector<std::int32_t>, 4> systems;
    for (auto& system : systems) system = fresh(12);
    for (double t = begin + exponential(rate); t < begin + seconds; t += exponential(rate)) {
      auto const& system = systems[static_cast<std::size_t>(between(0, 3))];
      std::vector<std::int32_t> prompt = system;
      double now = t;
      extend(prompt, between(2, 10));
      for (int turns = between(5, 40); turns > 0 && now < begin + seconds; --turns) {
        add(now, prompt, 1);
        now += 2 + exponential(uniform() < 0.1 ? 1.0 / 120 : 1.0 / 8);
        extend(prompt, between(1, 10));
        if (prompt.size() > 250) extend(prompt = system, between(5, 10));
      }
    }
  }

  /// Prompts that nobody asks again.
  void scan(double begin, double seconds, double rate) {
    for (double t = begin + exponential(rate); t < begin + seconds; t += exponential(rate)) add(t, {}, between(20, 60));
  }

  /// The same prompts in the same order again and again, as evaluations send them.
  void loop(double begin, double seconds, double rate, std::int32_t num_prompts) {
    std::vector<std::vector<std::int32_t>> prompts;
    for (std::int32_t i = 0; i < num_prompts; ++i) prompts.push_back(fresh(between(10, 50)));
    std::size_t next = 0;
    for (double t = begin + 1 / rate; t < begin + seconds; t += 1 / rate) add(t, prompts[next++ % prompts.size()], 1);
  }

  /// Each prompt is sampled many times within moments, and never again: what was hit often is dead.
  void bursts(double begin, double seconds, double rate) {
    for (double t = begin + exponential(rate); t < begin + seconds; t += exponential(rate)) {
      std::vector<std::int32_t> const prompt = fresh(between(10, 60));
      double now = t;
      for (int samples = between(8, 24); samples > 0; --samples) add(now += exponential(1.0), prompt, between(0, 3));
    }
  }

  /// The requests in order of time.
  [[nodiscard]] Trace take() {
    std::stable_sort(trace_.begin(), trace_.end(), [](auto const& a, auto const& b) { return a.seconds < b.seconds; });
    documents_.clear();
    return std::exchange(trace_, {});
  }

 private:
  std::uint64_t random() {  // splitmix64
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
  }
  double uniform() { return static_cast<double>(random() >> 11) * 0x1p-53; }
  double exponential(double rate) { return -std::log(1 - uniform()) / rate; }
  std::int32_t between(std::int32_t low, std::int32_t high) {
    return low + static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  }
  std::int32_t long_tailed(std::int32_t median, std::int32_t most) {
    double const normal = uniform() + uniform() + uniform() + uniform() - 2;  // about, with deviation 0.58
    return std::clamp(static_cast<std::int32_t>(median * std::exp(2 * normal)), 1, most);
  }
  void extend(std::vector<std::int32_t>& prompt, std::int32_t blocks) {
    for (; blocks > 0; --blocks) prompt.push_back(next_id_++);
  }
  std::vector<std::int32_t> fresh(std::int32_t blocks) {
    std::vector<std::int32_t> prompt;
    extend(prompt, blocks);
    return prompt;
  }
  void add(double seconds, std::vector<std::int32_t> prompt, std::int32_t own_blocks) {
    extend(prompt, own_blocks);
    trace_.push_back({seconds, std::move(prompt)});
  }

  std::uint64_t state_;
  std::int32_t next_id_ = 0;
  std::vector<std::vector<std::int32_t>> documents_;
  Trace trace_;
};

inline constexpr std::array<char const*, 9> generated_names = {"documents", "reports", "chat",  "agents", "scan",
                                                               "loop",      "bursts",  "mixed", "phases"};

/// The traffic called `name`, of about an hour. Throws Error naming the known ones.
[[nodiscard]] inline Trace generate(std::string_view name, std::uint64_t seed = 1) {
  Generator make(seed);
  if (name == "documents") {
    make.documents(0, 3600, 2.0, 400);
  } else if (name == "reports") {
    make.reports(0, 3600, 0.1);
  } else if (name == "chat") {
    make.chat(0, 3600, 1.2);
  } else if (name == "agents") {
    make.agents(0, 3600, 0.1);
  } else if (name == "scan") {
    make.documents(0, 3600, 1.0, 60);
    for (double begin = 600; begin < 3600; begin += 1200) make.scan(begin, 600, 3.0);
  } else if (name == "loop") {
    make.loop(0, 3600, 2.0, 300);
  } else if (name == "bursts") {
    make.bursts(0, 3600, 0.15);
  } else if (name == "mixed") {
    make.documents(0, 3600, 0.5, 200);
    make.chat(0, 3600, 0.4);
    make.agents(0, 3600, 0.04);
    make.scan(1800, 600, 1.0);
    make.bursts(0, 3600, 0.05);
  } else if (name == "phases") {
    make.documents(0, 700, 2.0, 200);
    make.bursts(700, 600, 0.15);
    make.chat(1300, 700, 2.0);
    make.loop(2000, 500, 2.0, 150);
    make.agents(2500, 700, 0.2);
    make.documents(3200, 700, 2.0, 200);
  } else {
    std::string message = "no traffic is called \"" + std::string(name) + "\"; there are";
    for (char const* known : generated_names) message += std::string(" ") + known;
    throw Error(message);
  }
  return make.take();
}

}  // namespace folio::bench
