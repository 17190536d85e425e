// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the keys of units say, over many caches: a sink that knows what each key has stood for.

#include <cstdint>
#include <folio/prefix/events.hpp>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace folio::test {

/// Hears of every unit, and remembers, for all caches of a program's run, which prefix has which key under which
/// secret: by names, not by the numbers that a cache has for them. Local keys are a cache's own.
class KeyWatch {
 public:
  static constexpr PrefixEvents hears =
      PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::cleared | PrefixEvents::evicting;

  /// What a scope or a symbol below 0 is called.
  std::map<std::int32_t, std::string> scopes, symbols;
  KeySecret secret;
  std::int32_t unit_tokens = 0;
  std::int64_t num_local = 0, num_shared = 0;
  inline static std::int64_t num_agreed = 0;  ///< units that another cache had stored before

  /// The key of a scope as the cache makes it; it may have forgotten the name.
  void scope(std::int32_t number, PrefixKey const& key) {
    if (parents_.contains(key)) return;
    learn(key, "units of " + std::to_string(unit_tokens) + ", scope " + scopes.at(number));
  }

  void stored(PrefixStored const& e) noexcept {
    PrefixKey before = e.parent;
    auto const unit = static_cast<std::size_t>(e.unit_tokens);
    for (std::size_t i = 0; i < e.keys.size(); before = e.keys[i++]) {
      std::string text = text_of(before);
      bool named = false;
      for (std::int32_t const symbol : e.symbols.subspan(i * unit, unit)) {
        named = named || symbol < 0;
        text += symbol < 0 ? " " + symbols[symbol] : " " + std::to_string(symbol);
      }
      if (before.is_local() && !e.keys[i].is_local()) fail("a key builds on a local one, and is not local");
      if (e.keys[i].is_local() && !before.is_local() && !named) fail("a unit of plain tokens is local");
      learn(e.keys[i], text);
      if (!live_.emplace(e.keys[i], before).second) fail("two units of one key");
      (e.keys[i].is_local() ? num_local : num_shared) += 1;
    }
  }
  void evicting(PrefixEvicting const& e) noexcept {
    auto const found = live_.find(e.key);
    if (found == live_.end() || found->second != e.parent)
      fail("a unit is evicted with keys that it was not stored with");
    std::string text = text_of(e.parent);
    for (std::int32_t const symbol : e.symbols)
      text += symbol < 0 ? " " + symbols[symbol] : " " + std::to_string(symbol);
    if (text_of(e.key) != text) fail("a unit is evicted with another one's symbols");
    evicting_ = e.key;
  }
  void removed(PrefixRemoved const& e) noexcept {
    if (!is_clearing && evicting_ != e.key) fail("a unit goes that was not evicted");
    if (is_clearing && evicting_ != PrefixKey()) fail("a unit that is cleared was evicted");
    evicting_ = {};
    if (live_.erase(e.key) != 1) fail("a unit goes that is not there");
  }
  void cleared(PrefixCleared const&) noexcept {
    if (!live_.empty()) fail("cleared, and something is there");
  }
  bool is_clearing = false;  ///< whether the index is being cleared

  /// What was wrong first.
  [[nodiscard]] std::string const& problem() const { return problem_; }
  /// The parents of the units that are there.
  [[nodiscard]] std::map<PrefixKey, PrefixKey> const& live() const { return live_; }

 private:
  struct Meaning {
    KeySecret secret;
    std::string text;
    bool operator==(Meaning const&) const = default;
  };
  struct Before {
    bool operator()(Meaning const& a, Meaning const& b) const {
      return std::tuple(a.secret.low, a.secret.high, a.text) < std::tuple(b.secret.low, b.secret.high, b.text);
    }
  };

  void fail(char const* what) {
    if (problem_.empty()) problem_ = what;
  }
  [[nodiscard]] std::string text_of(PrefixKey const& key) {
    auto const found = parents_.find(key);
    if (found == parents_.end()) fail("a key that was never told");
    return found == parents_.end() ? std::string() : found->second;
  }
  void learn(PrefixKey const& key, std::string const& text) {
    if (parents_.emplace(key, text).first->second != text) fail("two prefixes have one key in a cache");
    if (key.is_local()) return;
    Meaning const meaning{secret, text};
    bool const is_new_text = keys_.find(meaning) == keys_.end(), is_new_key = meanings_.find(key) == meanings_.end();
    if (keys_.emplace(meaning, key).first->second != key) fail("one prefix has two keys");
    if (meanings_.emplace(key, meaning).first->second != meaning) fail("two prefixes have one key");
    num_agreed += is_new_text || is_new_key ? 0 : 1;
  }

  std::map<PrefixKey, std::string> parents_;  // what each key of this cache has stood for
  std::map<PrefixKey, PrefixKey> live_;
  PrefixKey evicting_;
  std::string problem_;
  inline static std::map<Meaning, PrefixKey, Before> keys_;  // of all caches
  inline static std::map<PrefixKey, Meaning> meanings_;
};
static_assert(EventSink<KeyWatch>);

}  // namespace folio::test
