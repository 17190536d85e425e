// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Prompts that have names: which of them stay, for how long, and which are worth computing ahead. Host only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/prefix/attached_sink.hpp>
#include <folio/prefix/leases.hpp>
#include <folio/prefix/prefix.hpp>
#include <folio/prefix/radix_tree.hpp>
#include <limits>
#include <map>
#include <new>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace folio {

/// Whether it pays to compute or fetch something ahead that is used with a chance of `p`: p saved > (1 - p) cost.
/// `saved` by a use, and the `cost` of having it for nothing, in the same unit. Throws Error for a chance that is not
/// from 0 to 1, and for others that are not from 0 to 1e100.
[[nodiscard]] constexpr bool worth_prefetching(double p, double saved, double cost) {
  if (!(p >= 0 && p <= 1 && saved >= 0 && saved <= 1e100 && cost >= 0 && cost <= 1e100))
    throw Error("folio: a chance of use is from 0 to 1, what it saves or costs from 0 to 1e100, not " +
                std::to_string(p) + ", " + std::to_string(saved) + " and " + std::to_string(cost));
  return p * (saved + cost) > cost;
}

struct PromptOptions {
  bool pinned = true;                                             ///< stays, whatever is evicted
  std::int32_t priority = Retention::default_priority;            ///< which is computed first; 100 before 0
  double time_to_live = std::numeric_limits<double>::infinity();  ///< seconds; then the name is forgotten
};

/// A named prompt that the cache does not have whole.
struct MissingPrompt {
  std::string_view name;  ///< good, as the prefix, until the name is put again or gone
  Prefix prefix;
  std::int32_t num_cached_tokens;  ///< that are there already
  bool pinned;
  std::int32_t priority;
  double uses_per_second;
};

/// Prompts with names: system prompts, few-shot examples, documents, and images or other media, whose symbols
/// (prefix/key_table.hpp) stand in the prompts that show them.
///
/// A pinned prompt is never evicted, from when its blocks are in the tree: at once, or as soon as somebody inserts
/// them. What is pinned has a budget in bytes, which no number of prompts can exceed; openings that prompts share count
/// once, blocks that left windows as if they were kept, and what is demoted as if it were not. A prompt that is not
/// pinned, or whose time to live is over, is as any other. At start, and whenever memory allows, compute what `missing`
/// lists.
///
/// The clock is the tree's. Host only, not thread-safe: belongs to the tree's owner thread, and goes before the tree
/// does; a sink of that, attached while it lives. Cost: of `put` and `pin` O(prompts), each compared until it differs;
/// of an insertion into the tree likewise for those that are pinned and not there; the rest O(log prompts).
template <class Tree>
class PromptRegistry {
 public:
  /// `half_life`: seconds in which a use comes to count half in a prompt's popularity. Throws Error when one of the
  /// numbers is below 0, or the half-life is 0 or above 1e100.
  PromptRegistry(Tree& tree, std::int64_t budget_bytes, double half_life = 600)
      : tree_(tree), budget_bytes_(budget_bytes), half_life_(half_life), attachment_(tree.attached(), *this) {
    if (budget_bytes < 0 || !(half_life > 0 && half_life <= 1e100))
      throw Error(
          "folio: a registry of prompts needs a budget of at least 0 bytes and a half-life above 0 seconds, "
          "up to 1e100, not " +
          std::to_string(budget_bytes) + " and " + std::to_string(half_life));
  }
  PromptRegistry(PromptRegistry const&) = delete;
  PromptRegistry& operator=(PromptRegistry const&) = delete;
  ~PromptRegistry() = default;

  /// Gives a prefix a name, or a name another prefix. What is kept are its whole units. Popularity goes on. Throws
  /// Error, and changes nothing, for a prefix without a whole unit, a priority not from 0 to 100, a time to live that
  /// is not above 0, or when pinning it would exceed the budget.
  void put(std::string const& name, Prefix const& prefix, PromptOptions const& options = {}) {
    check(name, prefix, options);
    Prompt next{{prefix.symbols.begin(), prefix.symbols.end()}, prefix.scope, options.priority};
    next.expires = tree_.time() + options.time_to_live;
    next.wanted = options.pinned;
    auto const found = prompts_.find(name);
    Prompt* const before = found == prompts_.end() ? nullptr : &found->second;
    std::int64_t const given_back = before != nullptr && before->wanted ? units_of_its_own(*before, before) : 0;
    std::int64_t const needed = options.pinned ? units_of_its_own(next, before) : 0;
    check_budget(name, needed, given_back);
    pin_if_there(next);  // before what it had is unpinned, so that what both have is pinned all the time
    Prompt& prompt = before != nullptr ? *before : prompts_[name];
    next.uses = prompt.uses;
    next.last_use = prompt.last_use;
    std::swap(prompt, next);
    pinned_units_ += needed - given_back;
    next_expiry_ = std::min(next_expiry_, prompt.expires);
  }

  /// Forgets a name. False when there is none.
  bool erase(std::string_view name) {
    auto const found = prompts_.find(name);
    if (found == prompts_.end()) return false;
    forget(found);
    return true;
  }

  /// Throws Error, and changes nothing, for an unknown name, or when it would exceed the budget.
  void pin(std::string_view name) {
    Prompt& prompt = at(name);
    if (prompt.wanted) return;
    std::int64_t const needed = units_of_its_own(prompt, &prompt);
    check_budget(name, needed, 0);
    prompt.wanted = true;
    try {
      pin_if_there(prompt);
    } catch (...) {
      prompt.wanted = false;
      throw;
    }
    pinned_units_ += needed;
  }
  /// The prompt is as any other from here on, but for its name. Throws Error for an unknown name.
  void unpin(std::string_view name) { give_up(at(name)); }

  /// Counts a use and gives the prefix, as `put` got it, good until the name is put again or gone. Throws Error for an
  /// unknown name.
  Prefix use(std::string_view name) {
    Prompt& prompt = at(name);
    prompt.uses = decayed(prompt) + 1;
    prompt.last_use = tree_.time();
    return {prompt.symbols, prompt.scope};
  }

  [[nodiscard]] bool contains(std::string_view name) const { return prompts_.contains(name); }
  /// Whether the cache has all whole units of a prompt now. Throws Error for an unknown name.
  [[nodiscard]] bool is_there(std::string_view name) const { return match(at(name)).num_tokens == whole(at(name)); }
  [[nodiscard]] bool is_pinned(std::string_view name) const { return at(name).wanted; }

  /// An exponential moving average. Throws Error, as all that follow, for an unknown name.
  [[nodiscard]] double uses_per_second(std::string_view name) const { return rate(at(name)); }
  /// The chance of at least one use within so many seconds, if uses come as they did and independently. Throws Error
  /// for a time that is not from 0 to 1e100.
  [[nodiscard]] double chance_of_use(std::string_view name, double seconds) const {
    if (!(seconds >= 0 && seconds <= 1e100))
      throw Error("folio: a chance of use is asked for a time from 0 to 1e100 seconds, not " + std::to_string(seconds));
    return -std::expm1(-rate(at(name)) * seconds);
  }

  /// What the cache does not have whole: pinned ones first, by priority, then by popularity. Cost: O(symbols).
  [[nodiscard]] std::vector<MissingPrompt> missing() const {
    std::vector<MissingPrompt> all;
    for (auto const& [name, prompt] : prompts_) {
      std::int32_t const there = match(prompt).num_tokens;
      if (there < whole(prompt))
        all.push_back({name, {prompt.symbols, prompt.scope}, there, prompt.wanted, prompt.priority, rate(prompt)});
    }
    std::stable_sort(all.begin(), all.end(), [](MissingPrompt const& a, MissingPrompt const& b) {
      return std::tuple(a.pinned, a.priority, a.uses_per_second) > std::tuple(b.pinned, b.priority, b.uses_per_second);
    });
    return all;
  }

  /// Of what is missing that which is worth computing before anybody asks for it: where the chance of a use within
  /// `seconds` is above cost / (saved + cost). saved(prompt): what a use saves then; cost(prompt): of holding its
  /// blocks for nothing.
  template <class Saved, class Cost>
  [[nodiscard]] std::vector<MissingPrompt> to_prefetch(double seconds, Saved saved, Cost cost) const {
    std::vector<MissingPrompt> all = missing();
    std::erase_if(all, [&](MissingPrompt const& prompt) {
      return !worth_prefetching(chance_of_use(prompt.name, seconds), saved(prompt), cost(prompt));
    });
    return all;
  }

  [[nodiscard]] std::int64_t budget_bytes() const noexcept { return budget_bytes_; }
  /// What all pinned prompts take when they are there, of the budget, and nothing of them is demoted.
  [[nodiscard]] std::int64_t pinned_bytes() const noexcept { return pinned_units_ * tree_.unit_bytes(); }

  // As a sink that is attached to the index.
  static constexpr PrefixEvents hears = PrefixEvents::inserted | PrefixEvents::time_set;
  void inserted(PrefixInserted const& event) noexcept {
    std::span<std::int32_t const> const symbols = event.symbols;
    for (auto& [name, prompt] : prompts_) {
      if (!prompt.wanted || is_kept(prompt) || prompt.scope != event.scope) continue;
      std::int32_t const size = whole(prompt);
      if (static_cast<std::size_t>(size) > symbols.size()) continue;
      if (common_prefix(prompt.symbols.data(), symbols.data(), size) != size) continue;
      try {
        pin_if_there(prompt);
      } catch (std::bad_alloc const&) {  // the next insertion tries again
      }
    }
  }
  void time_set(double) noexcept {
    if (tree_.time() < next_expiry_) return;
    next_expiry_ = std::numeric_limits<double>::infinity();
    for (auto prompt = prompts_.begin(); prompt != prompts_.end();) {
      bool const is_over = prompt->second.expires <= tree_.time();
      if (!is_over) next_expiry_ = std::min(next_expiry_, prompt->second.expires);
      prompt = is_over ? forget(prompt) : std::next(prompt);
    }
  }

 private:
  struct Prompt {
    std::vector<std::int32_t> symbols;
    std::int32_t scope = 0;
    std::int32_t priority = Retention::default_priority;
    double expires = std::numeric_limits<double>::infinity();
    bool wanted = false;            // pinned, or to be pinned as soon as it is there
    PrefixPin pin = {};             // when it is in the tree
    double uses = 0, last_use = 0;  // uses, those of a half-life before last_use counting half
  };
  using Prompts = std::map<std::string, Prompt, std::less<>>;

  void check(std::string_view name, Prefix const& prefix, PromptOptions const& options) const {
    if (prefix.size() < tree_.unit())
      throw Error("folio: the prompt " + std::string(name) + " has " + std::to_string(prefix.size()) +
                  " tokens; the cache keeps whole units of " + std::to_string(tree_.unit()));
    if (options.priority < 0 || options.priority > 100 || !(options.time_to_live > 0))
      throw Error("folio: the prompt " + std::string(name) + " has a priority of " + std::to_string(options.priority) +
                  " and " + std::to_string(options.time_to_live) +
                  " seconds to live; priorities are from 0 to 100, and a time to live is above 0");
  }
  void check_budget(std::string_view name, std::int64_t needed, std::int64_t given_back) const {
    std::int64_t const unit = tree_.unit_bytes();
    if (needed <= given_back || (pinned_units_ - given_back + needed) * unit <= budget_bytes_) return;
    throw Error("folio: pinning the prompt " + std::string(name) + " takes " + std::to_string(needed * unit) +
                " bytes; of a budget of " + std::to_string(budget_bytes_) + " bytes " +
                std::to_string((pinned_units_ - given_back) * unit) +
                " are pinned otherwise; unpin something, or give a larger budget");
  }

  [[nodiscard]] Prompt const& at(std::string_view name) const {
    auto const found = prompts_.find(name);
    if (found == prompts_.end())
      throw Error("folio: no prompt is called " + std::string(name) + "; put it first, it may have expired");
    return found->second;
  }
  [[nodiscard]] Prompt& at(std::string_view name) { return const_cast<Prompt&>(std::as_const(*this).at(name)); }

  [[nodiscard]] std::int32_t whole(Prompt const& prompt) const {
    return static_cast<std::int32_t>(prompt.symbols.size()) / tree_.unit() * tree_.unit();
  }
  [[nodiscard]] PrefixMatch match(Prompt const& prompt) const {
    return tree_.find(prompt.scope, prompt.symbols, whole(prompt));
  }

  /// Units of a prompt that no other pinned one has. `except` does not count.
  [[nodiscard]] std::int64_t units_of_its_own(Prompt const& prompt, Prompt const* except) const {
    std::int32_t shared = 0;
    for (auto const& [name, other] : prompts_) {
      if (!other.wanted || &other == except || other.scope != prompt.scope) continue;
      std::int32_t const same =
          common_prefix(prompt.symbols.data(), other.symbols.data(), std::min(whole(prompt), whole(other)));
      shared = std::max(shared, same / tree_.unit());
    }
    return whole(prompt) / tree_.unit() - shared;
  }

  /// Whether a prompt is pinned in the tree as it is now: not before it was cleared.
  [[nodiscard]] bool is_kept(Prompt const& prompt) const { return prompt.pin && prompt.pin.epoch() == tree_.epoch(); }
  void pin_if_there(Prompt& prompt) {
    if (!prompt.wanted || is_kept(prompt)) return;
    PrefixMatch const found = match(prompt);
    if (found.num_tokens == whole(prompt)) prompt.pin = tree_.pin(found, whole(prompt));
  }
  void give_up(Prompt& prompt) noexcept {
    if (prompt.wanted) pinned_units_ -= units_of_its_own(prompt, &prompt);
    prompt.wanted = false;
    prompt.pin.release();
  }
  typename Prompts::iterator forget(typename Prompts::iterator prompt) noexcept {
    give_up(prompt->second);
    return prompts_.erase(prompt);
  }

  [[nodiscard]] double decayed(Prompt const& prompt) const {
    return prompt.uses * std::exp2((prompt.last_use - tree_.time()) / half_life_);
  }
  /// Uses that come at this rate all the time keep the decayed count where it is.
  [[nodiscard]] double rate(Prompt const& prompt) const { return decayed(prompt) * std::numbers::ln2 / half_life_; }

  Tree& tree_;
  std::int64_t budget_bytes_;
  double half_life_;
  Prompts prompts_;
  std::int64_t pinned_units_ = 0;  // of all that are wanted, those that they share counted once
  double next_expiry_ = std::numeric_limits<double>::infinity();
  SinkAttachment<PromptRegistry> attachment_;
};

}  // namespace folio
