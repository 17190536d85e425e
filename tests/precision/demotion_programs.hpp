// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs over sequences that demote: append, demote, fork, truncate, release, and everything checked after
// each.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "precision/demoting_model_sequence.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace folio::test {

/// `attends`: whether attention is checked, too, which takes most of the time to compile and to run.
template <class Cache, bool attends>
class DemotionProgram {
 public:
  DemotionProgram(CacheConfig const& config, std::uint32_t seed) : stories_(config), random_(seed) {}

  void run(int num_operations) {
    for (int i = 0; i < num_operations; ++i) {
      step();
      for (auto const& s : all_) stories_.check(*s);
      stories_.check_accounting(pointers());
    }
    all_.clear();
    stories_.check_accounting({});
  }

 private:
  std::vector<DemotingModelSequence*> pointers() const {
    std::vector<DemotingModelSequence*> result;
    for (auto const& s : all_) result.push_back(s.get());
    return result;
  }
  DemotingModelSequence& any() {
    return *all_[static_cast<std::size_t>(below(random_, static_cast<std::int32_t>(all_.size())))];
  }

  void step() {
    std::int32_t const what = below(random_, 20);
    if (all_.empty() || (what == 0 && all_.size() < 4)) {
      all_.push_back(std::make_unique<DemotingModelSequence>(stories_.create()));
      return;
    }
    DemotingModelSequence& story = any();
    auto const length = static_cast<std::int32_t>(story.tokens.size());
    if (what <= 7)
      return append(
          story, below(random_, 3) == 0 ? below(random_, 2 * stories_.cache.demotion_unit() + 2) : below(random_, 5));
    if (what <= 12) return stories_.demote(story, below(random_, 3) == 0 ? below(random_, length + 1) : length);
    if (what == 13) return stories_.cache.set_recent_window(below(random_, stories_.cache.demotion_unit() + 3));
    if (what <= 15) return stories_.truncate(story, truncation(story));
    if (what == 16 && all_.size() < 4) return fork(story);
    if (what == 17 && below(random_, 3) == 0) return release(story);
    step_of_all();
  }

  /// Anywhere, or around what is demoted.
  std::int32_t truncation(DemotingModelSequence const& story) {
    auto const length = static_cast<std::int32_t>(story.tokens.size());
    std::int32_t const edge =
        stories_.cache.sinks() + story.demoted - below(random_, 3) * stories_.cache.demotion_unit();
    std::int32_t const near = edge + below(random_, 3) - 1;
    return below(random_, 2) == 0 && near >= 0 && near <= length ? near : length - below(random_, length / 2 + 1);
  }

  void append(DemotingModelSequence& story, std::int32_t n) {
    if (!stories_.take(story, n)) return;
    stories_.write({&story}, n);
    if constexpr (attends) stories_.check_attention({&story}, n, 2);
  }

  /// One token more in each, as a step of decoding.
  void step_of_all() {
    std::vector<DemotingModelSequence*> grown;
    for (auto const& s : all_)
      if (stories_.take(*s, 1)) grown.push_back(s.get());
    stories_.write(grown, 1);
    if constexpr (attends) stories_.check_attention({grown.begin(), grown.end()}, 1, 1);
  }

  void fork(DemotingModelSequence const& story) {
    auto child = std::make_unique<DemotingModelSequence>();
    child->sequence = story.sequence.fork();
    child->tokens = story.tokens;
    child->demoted = story.demoted;
    if constexpr (has_windows<Cache>) child->plain = story.plain.fork();
    all_.push_back(std::move(child));
  }

  void release(DemotingModelSequence& story) {
    story.sequence.release();
    stories_.expect(!story.sequence, "a released sequence is one");
    std::erase_if(all_, [&](auto const& s) { return s.get() == &story; });
  }

  DemotingModelSequences<Cache> stories_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<DemotingModelSequence>> all_;
};

/// Runs `num_programs` programs of `num_operations` each over pools of several sizes.
template <class Cache, bool attends = true>
void run_demotion_programs(std::int64_t recent_tokens, std::int64_t demoted_tokens, std::int32_t sinks,
                           int num_programs, int num_operations) {
  for (int i = 0; i < num_programs; ++i) {
    auto const seed = static_cast<std::uint32_t>(i + 1);
    CAPTURE(seed, sinks);
    CacheConfig config{.demotion = {.sinks = sinks, .recent_window = i % 3 * 3}};
    for (int g = 0; g < Cache::num_groups; ++g) {
      using Second = typename Cache::Demotion::template BlocksOf<typename Cache::Blocks>;
      bool const demotes = Cache::model.groups[g].window == 0;
      std::int64_t const tokens =
          demotes ? recent_tokens * (1 + i % 3) : (recent_tokens + demoted_tokens) * (1 + i % 2) / 2;
      config.num_blocks.push_back(tokens / Cache::Blocks::block_size(g) + 1);
      if (demotes) config.demotion.num_blocks.push_back(demoted_tokens * (1 + i % 2) / Second::block_size(g) + 1);
    }
    DemotionProgram<Cache, attends> program(config, seed);
    REQUIRE_NOTHROW(program.run(num_operations));
  }
}

}  // namespace folio::test
