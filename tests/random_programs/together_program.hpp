// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs that draw everything a cache on the host does, on one cache with real bytes. After each operation the
// sequence that it was about is compared with what it should hold, after some all are; and so are the sums of blocks.

#include <algorithm>
#include <cstdint>
#include <folio/ops/compact.hpp>
#include <folio/reservation.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "random_programs/together_steps.hpp"

namespace folio::test {

template <class Cache>
class TogetherProgram : TogetherSteps<Cache> {
 public:
  TogetherProgram(CacheConfig const& config, unsigned seed, TogetherCounts& counts) : Steps(config, seed, counts) {}

  void run(int steps) {
    for (step_ = 0; step_ < steps; ++step_) {
      try {
        act();
      } catch (Error const& unexpected) {
        fail(unexpected.what());
      }
      check_sums();
      if (step_ % 4 == 0) check_all();
    }
    counts_.steps += steps;
    counts_.evictions += cache_.stats().prefixes.evicted_units;
    all_.clear();
    check_sums();
  }

 private:
  using Steps = TogetherSteps<Cache>;
  using Steps::all_, Steps::cache_, Steps::counts_, Steps::seed_, Steps::step_, Steps::what_;
  using Steps::any, Steps::any_sequence, Steps::attempt, Steps::attend, Steps::check, Steps::check_all;
  using Steps::check_sums, Steps::expect, Steps::fail, Steps::has_window, Steps::has_windows, Steps::num_groups;
  using Steps::one_in, Steps::sinks, Steps::snapshot, Steps::unit, Steps::write;
  using typename Steps::Running;

  void act() {
    std::int32_t const dice = all_.empty() ? 0 : any(48);
    if (dice < 5) return create();
    Running& one = any_sequence();
    if (dice < 14) return static_cast<void>(extend(one, one_in(3) ? any(40) : any(6)));
    if (dice < 20) return demote(one);
    if (dice < 22) return fork(one);
    if (dice < 25) return truncate(one);
    if (dice < 27) return cut(one);
    if (dice < 28) return keep(one);
    if (dice < 32) return insert(one);
    if (dice < 34) return release(one);
    if (dice < 35) return release_lease(one);
    if (dice < 36) return evict();
    if (dice < 37) return resize();
    if (dice < 38) return reserve(one);
    if (dice < 39) return move(one);
    attend();
  }

  // ---- sequences come, grow, shrink and go

  /// The slots are there; `given`: the symbols of a prompt, else any.
  void extended(Running& one, std::int32_t n, std::vector<std::int32_t> const& given = {}) {
    std::vector<std::int32_t> positions;
    for (std::int32_t i = 0; i < n; ++i) {
      positions.push_back(one.length());
      one.push(given.empty() ? any(num_symbols()) : given[static_cast<std::size_t>(one.length())]);
    }
    if (n > 0) write(one, positions, cache_.batch({{&one.sequence, n}}).view());
  }
  [[nodiscard]] std::int32_t num_symbols() const { return 1 + static_cast<std::int32_t>(seed_ % 3); }

  bool extend(Running& one, std::int32_t n, std::vector<std::int32_t> const& given = {}) {
    what_ = "extend";
    if (one.length() > 120) return false;
    bool const can = one.sequence.can_extend(n);
    auto const before = snapshot();
    expect(one.sequence.try_extend(n) == can, "can_extend said something else");
    counts_.out_of_blocks += can ? 0 : 1;
    if (can)
      extended(one, n, given);
    else
      expect(snapshot() == before, "what was refused changed something");
    check(one);
    return can;
  }
  void create() {
    what_ = "create";
    if (all_.size() >= 5) return;
    auto one = std::make_unique<Running>();
    if (one_in(4)) {
      one->sequence = cache_.create();
      all_.push_back(std::move(one));
      return static_cast<void>(extend(*all_.back(), any(40)));
    }
    std::vector<std::int32_t> const prompt = any_prompt();
    std::int32_t const n = find(*one, prompt);
    all_.push_back(std::move(one));
    check(*all_.back());
    if (!one_in(6)) extend(*all_.back(), static_cast<std::int32_t>(prompt.size()) - n, prompt);
  }
  /// That of a sequence, or of one before, to some token, and a few more.
  std::vector<std::int32_t> any_prompt() {
    std::vector<std::int32_t> prompt;
    if (!all_.empty() && !one_in(3))
      prompt = any_sequence().symbols;
    else if (!prompts_.empty())
      prompt = prompts_[static_cast<std::size_t>(any(static_cast<std::int32_t>(prompts_.size())))];
    if (one_in(2)) prompt.resize(static_cast<std::size_t>(any(static_cast<std::int32_t>(prompt.size()) + 1)));
    for (std::int32_t n = any(15); n > 0; --n) prompt.push_back(any(num_symbols()));
    return prompt;
  }
  /// A sequence of what is kept of a prompt, of at most so many tokens as is drawn. Returns how many.
  std::int32_t find(Running& one, std::vector<std::int32_t> const& prompt) {
    auto const length = static_cast<std::int32_t>(prompt.size());
    std::int32_t const most = one_in(3) ? all_tokens : any(length + 3);
    std::int32_t const kept = cache_.num_cached_tokens(prompt), n = cache_.num_cached_tokens(prompt, most);
    expect(kept <= std::max(0, length - 1) && n <= std::min(most, kept), "more is found than is asked for");
    expect(n == kept || most < kept, "less is found than there is");
    if (one_in(4)) check_every_most(prompt);
    one.sequence = cache_.create(Prefix(prompt), any(3), most);
    expect(one.sequence.num_tokens() == n && one.sequence.num_cached_tokens() == n, "another number is found");
    expect(one.sequence.num_new_tokens() == 0, "what is found is new");
    for (std::int32_t i = 0; i < n; ++i) one.push(prompt[static_cast<std::size_t>(i)]);
    one.num_demoted = one.sequence.num_demoted_tokens();
    expect(one.num_demoted % unit() == 0 && one.num_demoted <= std::max(0, n - sinks()), "demoted are no whole units");
    counts_.found_demoted += one.num_demoted > 0 ? 1 : 0;
    counts_.found_exact += n > 0 && one.num_demoted == 0 ? 1 : 0;
    return n;
  }
  /// Each limit finds the longest prefix that some limit finds and that is not longer.
  void check_every_most(std::vector<std::int32_t> const& prompt) {
    std::int32_t longest = 0;
    for (std::int32_t most = 0; most <= static_cast<std::int32_t>(prompt.size()); ++most) {
      std::int32_t const n = cache_.num_cached_tokens(prompt, most);
      if (n == most) longest = most;
      expect(n == longest, "a limit finds less than a lower one, or than it could");
    }
  }
  void release(Running& one) {
    what_ = "release";
    if (prompts_.size() >= 12) prompts_.erase(prompts_.begin());
    prompts_.push_back(one.symbols);
    std::erase_if(all_, [&](auto const& other) { return other.get() == &one; });
  }
  void fork(Running const& one) {
    what_ = "fork";
    if (all_.size() >= 5) return;
    all_.push_back(
        std::make_unique<Running>(Running{one.sequence.fork(), one.symbols, one.tokens, one.groups, one.num_demoted}));
    check(*all_.back());
  }
  void move(Running& one) {
    what_ = "move";
    Sequence moved(std::move(one.sequence));
    expect(!one.sequence, "what was moved from is a sequence");
    one.sequence = std::move(moved);
    check(one);
  }
  void reserve(Running& one) {
    what_ = "reserve";
    Reservation ahead;
    std::int32_t const n = any(20);
    if (!ahead.try_reserve(one.sequence, n)) return;
    check_sums();
    for (std::int32_t i = any(n + 1); i > 0; --i) {
      expect(ahead.try_extend(one.sequence, 1), "what was reserved is not there");
      extended(one, 1);
      ++counts_.reserved;
    }
    check(one);
  }
  void truncate(Running& one) {
    what_ = "truncate";
    Sequence& s = one.sequence;
    std::int32_t n = one_in(2) ? std::max(0, one.length() - any(8)) : any(one.length() + 1);
    if (one_in(3)) n = std::min(one.length(), sinks() + any(one.num_demoted / unit() + 1) * unit());
    bool possible = std::clamp(n - sinks(), 0, one.num_demoted) % unit() == 0;
    for (StoredTokens const& stored : one.groups) possible = possible && stored.can_truncate(n);
    bool const in_windows = !has_windows() || (n >= one.length() - s.num_new_tokens() && n >= s.num_cached_tokens());
    if (attempt(possible && in_windows, !possible, [&] { s.truncate(n); })) one.truncate(n, sinks());
    check(one);
  }

  // ---- tokens are taken out

  void cut(Running& one) {
    what_ = "cut";
    int const g = any(num_groups);
    std::int32_t const block_size = cache_.shape(g).block_size, demoted = one.num_demoted_in(g);
    std::int32_t const length = one.num_stored(g) - demoted;
    std::int32_t const first = any(length / block_size + 2) * block_size, n = any(3) * block_size;
    bool const in_sinks = n > 0 && group_demotes<Cache>(g) && first < sinks();
    bool const possible = !has_window(g) && !in_sinks && first + n <= length;
    if (attempt(possible, [&] { one.sequence.cut(first, n, g); }) && n > 0) {
      one.group(g).cut(first + demoted, n, one.length());
      ++counts_.gaps;
    }
    check(one);
  }
  /// Some of a group's tokens are moved to its front and kept, in blocks that the sequence owns.
  void keep(Running& one) {
    what_ = "keep";
    int const g = any(num_groups);
    std::int32_t const demoted = one.num_demoted_in(g), length = one.num_stored(g) - demoted;
    std::int32_t const always = group_demotes<Cache>(g) ? sinks() : 0;
    std::vector<std::int32_t> kept, of_both;  // by number in the first list, and in the group
    std::int32_t const share = 2 + any(7);
    for (std::int32_t i = 0; i < length; ++i)
      if (i < always || !one_in(share)) kept.push_back(i);
    auto const k = static_cast<std::int32_t>(kept.size());
    if (has_window(g) || k == length || k <= always) return;
    std::int32_t first = 0, last = 0;
    while (first < k && kept[static_cast<std::size_t>(first)] == first) ++first;
    while (last < k && kept[static_cast<std::size_t>(k - 1 - last)] == length - 1 - last) ++last;
    if (!one.sequence.try_own(first, k, g)) return;
    auto const batch = cache_.batch({{&one.sequence, 0}});
    ops::compact(batch, g, {.tokens = kept.data(), .counts = &k, .k = k});
    one.sequence.keep({.num_tokens = k, .num_first = first, .num_last = last}, g);
    for (std::int32_t i = 0; i < one.num_stored(g); ++i)
      if (i >= always && i < always + demoted) of_both.push_back(i);
    for (std::int32_t const i : kept) of_both.push_back(i < always ? i : i + demoted);
    std::sort(of_both.begin(), of_both.end());
    one.group(g).keep(of_both, one.length());
    ++counts_.compactions;
    check(one);
  }

  // ---- demotion

  [[nodiscard]] std::int32_t due_of(Running const& one, std::int32_t accepted) const {
    std::int32_t const end = std::min(accepted, one.length() - cache_.recent_window());
    std::int32_t due = all_tokens;
    for (int g = 0; g < num_groups; ++g) {
      if (!group_demotes<Cache>(g)) continue;
      StoredTokens const& stored = one.group(g);
      std::int32_t const before = end > stored.gap_begin && end < stored.gap_end ? stored.gap_begin : end;
      auto const n = std::lower_bound(stored.positions.begin(), stored.positions.end(), before);
      due = std::min(due, static_cast<std::int32_t>(n - stored.positions.begin()) - sinks() - one.num_demoted);
    }
    return std::max(0, due) / unit() * unit();
  }
  void demote(Running& one) {
    what_ = "demote";
    if (one_in(6)) cache_.set_recent_window(any(2 * unit()));
    std::int32_t const accepted = one_in(3) ? any(one.length() + 1) : all_tokens, due = due_of(one, accepted);
    expect(cache_.num_due(one.sequence, accepted) == due, "another number is due");
    bool fits = true;
    for (int l = num_groups; l < Cache::num_lists; ++l)
      fits = fits && due / cache_.shape(l).block_size <= cache_.num_obtainable_blocks(l);
    std::int32_t const how = any(6);
    if (how == 0) {
      what_ = "begin_demotion";
      if (attempt(fits,
                  [&] { expect(cache_.begin_demotion(one.sequence, accepted) == due, "another number began"); }) &&
          due > 0) {
        cache_.cancel_demotion(one.sequence);
        ++counts_.canceled;
      }
    } else if (how == 1) {
      what_ = "demote_all";
      Sequence* const sequence = &one.sequence;
      auto const done = cache_.demote_all({&sequence, 1}, {&accepted, 1});
      expect(done.num_tokens == (fits ? due : 0) && done.num_refused == (fits ? 0 : 1), "another number was demoted");
      if (fits) demoted(one, due);
    } else if (attempt(fits, [&] { expect(cache_.demote(one.sequence, accepted) == due, "another number"); })) {
      demoted(one, due);
    }
    check(one);
  }
  void demoted(Running& one, std::int32_t due) {
    one.demote(due, sinks());
    counts_.demoted_tokens += due;
  }

  // ---- prefixes and pools

  void insert(Running& one) {
    what_ = "insert";
    std::int32_t const n = one_in(3) ? any(one.length() + 1) : one.length();
    Prefix const tokens(std::span<std::int32_t const>(one.symbols.data(), static_cast<std::size_t>(n)));
    std::int32_t const kept = cache_.insert(one.sequence, tokens);
    expect(kept >= 0 && kept <= n && kept <= one.num_exact(), "more is kept than there is");
    check(one);
  }
  void release_lease(Running& one) {
    what_ = "release_lease";
    cache_.release_lease(one.sequence);
    check(one);
  }
  void evict() {
    what_ = "evict";
    if (one_in(2))
      cache_.prefixes().evict_all();
    else
      cache_.prefixes().clear();
    check_all();
  }
  void resize() {
    what_ = "resize";
    int const l = any(Cache::num_lists);
    std::int64_t const n = std::max<std::int64_t>(1, cache_.num_blocks(l) + any(9) - 4);
    if (attempt(n >= cache_.num_blocks(l), false, [&] { cache_.resize(n, l); })) {
      expect(cache_.num_blocks(l) == n, "has another size");
      ++(l < num_groups ? counts_.resized : counts_.resized_second);
    }
    check_all();
  }

  std::vector<std::vector<std::int32_t>> prompts_;  // of sequences that went
};

}  // namespace folio::test
