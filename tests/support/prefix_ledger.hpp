// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sequences and a prefix tree over blocks without memory: bookkeeping alone.

#include <cstdint>
#include <folio/detail/sequence_store.hpp>
#include <folio/prefix/prefix_index.hpp>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace folio::test {

using Symbols = std::vector<std::int32_t>;

/// Of all ledgers, so that equal programs evict alike.
inline constexpr KeySecret test_secret{3, 14};

inline GroupShape group_of(std::int32_t block_size, std::int32_t window = 0, std::int32_t sinks = 0) {
  GroupShape shape;
  shape.kind = window == 0 ? AttentionKind::full : AttentionKind::sliding_window;
  shape.block_size = block_size;
  shape.window = window;
  shape.sinks = sinks;
  return shape;
}

inline Symbols count_from(std::int32_t first, std::int32_t n) {
  Symbols symbols(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < symbols.size(); ++i) symbols[i] = first + static_cast<std::int32_t>(i);
  return symbols;
}

template <class PrefixTree>
struct PrefixLedger {
  using Tree = PrefixTree;
  static constexpr std::int64_t block_bytes = 64;

  PrefixLedger(std::vector<GroupShape> const& shapes, std::vector<std::int64_t> const& num_blocks)
      : store(shapes, num_blocks, copies),
        tree(store.pools(), std::vector<std::int64_t>(shapes.size(), block_bytes), test_secret) {
    if (Tree::evicts) store.set_reclaimer(&tree);
  }
  PrefixLedger(PrefixLedger const&) = delete;
  PrefixLedger& operator=(PrefixLedger const&) = delete;
  ~PrefixLedger() { store.release_all(); }
  explicit PrefixLedger(std::int64_t num_blocks, std::int32_t block_size = 4)
      : PrefixLedger({group_of(block_size)}, {num_blocks}) {}

  /// A sequence of `symbols`, or null when there is no room.
  SequenceState* run(Prefix const& prompt, std::int32_t tenant = 0) {
    SequenceState& state = store.create();
    state.prefix = tree.lease();
    state.prefix.tenant = tenant;
    tree.take(tree.find(prompt.scope, prompt.symbols, prompt.size() - 1), state, prompt);
    if (store.try_extend(state, prompt.size() - state.num_tokens)) return &state;
    store.release(state);
    return nullptr;
  }

  /// A request that comes, is kept and goes. False when there is no room.
  bool serve(Prefix const& prompt, std::int32_t tenant = 0) {
    SequenceState* const state = run(prompt, tenant);
    if (state == nullptr) return false;
    tree.insert(*state, prompt.scope, prompt.symbols);
    store.release(*state);
    return true;
  }

  /// Tokens of `prompt` in the tree.
  [[nodiscard]] std::int32_t kept(Prefix const& prompt) const {
    return tree.find(prompt.scope, prompt.symbols, prompt.size()).num_tokens;
  }

  [[nodiscard]] PrefixGauges gauges() const { return tree.gauges(store.states()); }

  NoCopies copies;
  SequenceStore store;
  Tree tree;
};

/// A change of a tree by random requests of few symbols, so that prefixes meet, split and join by chance.
template <class Ledger>
class RandomRequests {
 public:
  RandomRequests(Ledger& ledger, unsigned seed, std::int32_t num_tenants = 1)
      : ledger_(ledger), random_(seed), num_tenants_(num_tenants) {}
  ~RandomRequests() { finish(); }

  void step() {
    int const what = below(random_, 10);
    if (what < 4 && running_.size() < 6) return begin();
    if (running_.empty()) return;
    auto const i = static_cast<std::size_t>(below(random_, static_cast<std::int32_t>(running_.size())));
    Running& one = running_[i];
    if (what < 5) {
      one.symbols.push_back(below(random_, 3));
      if (!ledger_.store.try_extend(*one.state, 1)) one.symbols.pop_back();
    } else if (what < 7) {
      ledger_.tree.insert(*one.state, one.scope, one.symbols);
    } else if (what < 8 && running_.size() < 6) {
      running_.push_back({&ledger_.store.fork(*one.state), one.scope, one.symbols});
    } else {
      if (what == 8) ledger_.tree.insert(*one.state, one.scope, one.symbols);
      ledger_.store.release(*one.state);
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  /// A prompt such as those of the requests.
  Symbols prompt() {
    Symbols symbols =
        prompts_.empty() ? count_from(1, 40) : prompts_[static_cast<std::size_t>(below(random_, size(prompts_)))];
    symbols.resize(static_cast<std::size_t>(1 + below(random_, size(symbols))));
    for (int n = below(random_, 20); n > 0; --n) symbols.push_back(below(random_, 3));
    return symbols;
  }
  [[nodiscard]] std::mt19937& random() { return random_; }

  void finish() {
    for (Running const& one : running_) ledger_.store.release(*one.state);
    running_.clear();
  }

 private:
  struct Running {
    SequenceState* state;
    std::int32_t scope;
    Symbols symbols;
  };

  template <class T>
  static std::int32_t size(std::vector<T> const& all) {
    return static_cast<std::int32_t>(all.size());
  }

  void begin() {
    Symbols symbols = prompt();
    std::int32_t const scope = below(random_, 2);
    SequenceState* const state = ledger_.run({symbols, scope}, below(random_, num_tenants_));
    if (state == nullptr) return;
    if (prompts_.size() < 20)
      prompts_.push_back(symbols);
    else
      prompts_[static_cast<std::size_t>(below(random_, 20))] = symbols;
    running_.push_back({state, scope, std::move(symbols)});
  }

  Ledger& ledger_;
  std::mt19937 random_;
  std::int32_t num_tenants_;
  std::vector<Running> running_;
  std::vector<Symbols> prompts_;
};

}  // namespace folio::test
