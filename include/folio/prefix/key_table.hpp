// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What makes two prefixes the same? Everything that changes keys or values, as symbols and scopes. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/prefix/prefix_key.hpp>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace folio {

/// What holds for a whole prefix. Fields may hold any bytes; two scopes are the same where all of them are.
struct PrefixScope {
  std::string_view model;            ///< name and revision, where several share a cache
  std::string_view adapter;          ///< LoRA or the like
  std::string_view position_scheme;  ///< RoPE scaling, position offset
  std::string_view salt;             ///< a tenant's own: nobody else finds what is kept under it
};

/// Something besides its token ids that changes the keys and values of some tokens, and of all after them.
struct PrefixAttribute {
  enum class Kind : std::uint8_t {
    media = 1,       ///< an image, sound or video: `bytes` is a digest of its full content, as the model gets it
    embeddings = 2,  ///< prompt embeddings instead of tokens: a digest of them
    adapter = 3,     ///< an adapter for these tokens only
    salt = 4,        ///< private from here on: an opening stays shared, and the rest is the tenant's own
  };
  static constexpr std::int32_t to_the_end = -1;

  Kind kind;
  std::string_view bytes;
  std::int32_t first_token = 0;
  std::int32_t num_tokens = to_the_end;
};

/// Gives each different thing a number, by exact comparison of its bytes: no digest decides, and none is made.
///
/// Every field is written with its length and a tag, so no two different things have the same bytes: a salt is never an
/// adapter, and "ab" + "c" is not "a" + "bc". Numbers are never given twice. When there are more than `max_entries`,
/// those not asked for in a long time are forgotten: asked for again they get another number, which costs a miss and
/// never finds the wrong thing. As the names of an index (PrefixIndex::set_names) it outlives that, and what changes it
/// comes from that one's thread. Host only, not thread-safe. Cost: O(log entries) for each scope and attribute.
///
/// The bytes of a name, which prefix keys depend on: `number` is 4 bytes, `field` its length in 8 bytes and then its
/// bytes, both little-endian.
///
///   a scope      's', field(model), field(adapter), field(position_scheme), field(salt)
///   a symbol     'a', number(token), field(part) for each attribute that begins at the token, in the order of bytes
///   a part       the kind as one byte, number(num_tokens), field(bytes)
class KeyTable final : public PrefixNames {
 public:
  explicit KeyTable(std::int64_t max_entries = std::int64_t{1} << 20)
      : max_generation_(static_cast<std::size_t>(max_entries < 2 ? 1 : max_entries / 2)) {}
  KeyTable(KeyTable const&) = delete;
  KeyTable& operator=(KeyTable const&) = delete;

  /// The number of a scope, from 1 on; of the empty one 0.
  [[nodiscard]] std::int32_t scope(PrefixScope const& scope) {
    if (scope.model.empty() && scope.adapter.empty() && scope.position_scheme.empty() && scope.salt.empty()) return 0;
    std::string bytes = "s";
    for (std::string_view const field : {scope.model, scope.adapter, scope.position_scheme, scope.salt})
      write(bytes, field);
    return intern(bytes);
  }

  /// The symbols of `tokens` with `attributes`, in any order. Throws Error for a token that is negative, or for a range
  /// that is not within the tokens or empty.
  [[nodiscard]] std::vector<std::int32_t> symbols(std::span<std::int32_t const> tokens,
                                                  std::span<PrefixAttribute const> attributes = {}) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] < 0)
        throw Error("folio: token " + std::to_string(i) + " is " + std::to_string(tokens[i]) +
                    "; token ids are not negative");
    std::map<std::int32_t, std::vector<std::string>> starts;  // what begins at a token
    for (PrefixAttribute const& attribute : attributes) {
      check(attribute, static_cast<std::int64_t>(tokens.size()));
      std::string bytes(1, static_cast<char>(attribute.kind));
      write(bytes, attribute.num_tokens);
      write(bytes, attribute.bytes);
      starts[attribute.first_token].push_back(std::move(bytes));
    }
    std::vector<std::int32_t> all(tokens.begin(), tokens.end());
    for (auto& [token, parts] : starts) {
      std::sort(parts.begin(), parts.end());  // the order in which they were given means nothing
      std::string bytes = "a";
      write(bytes, all[static_cast<std::size_t>(token)]);
      for (std::string const& part : parts) write(bytes, part);
      all[static_cast<std::size_t>(token)] = -intern(bytes);
    }
    return all;
  }

  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(recent_.numbers.size() + older_.numbers.size());
  }

  [[nodiscard]] std::string_view name_of(std::int64_t number) const noexcept override {
    for (Generation const* const generation : {&recent_, &older_})
      if (auto const found = generation->names.find(number); found != generation->names.end()) return *found->second;
    return {};
  }

 private:
  static void write(std::string& to, std::int32_t number) {
    for (int shift = 0; shift < 32; shift += 8) to += static_cast<char>(static_cast<std::uint32_t>(number) >> shift);
  }
  static void write(std::string& to, std::string_view field) {
    for (int shift = 0; shift < 64; shift += 8) to += static_cast<char>(std::uint64_t{field.size()} >> shift);
    to += field;
  }

  static void check(PrefixAttribute const& attribute, std::int64_t num_tokens) {
    std::int64_t const first = attribute.first_token;
    bool const to_the_end = attribute.num_tokens == PrefixAttribute::to_the_end;
    std::int64_t const end = to_the_end ? num_tokens : first + attribute.num_tokens;
    if (first < 0 || first >= num_tokens || end <= first || end > num_tokens)
      throw Error("folio: an attribute covers tokens " + std::to_string(first) + " to " + std::to_string(end - 1) +
                  " of a prefix of " + std::to_string(num_tokens) + "; it must cover at least one, and none beyond");
  }

  struct Generation {
    std::map<std::string, std::int32_t> numbers;
    std::unordered_map<std::int64_t, std::string const*> names;  // of the same, whose nodes stay where they are
  };

  /// The number of these bytes, from 1 on.
  [[nodiscard]] std::int32_t intern(std::string const& bytes) {
    if (auto const found = recent_.numbers.find(bytes); found != recent_.numbers.end()) return found->second;
    if (recent_.numbers.size() >= max_generation_) older_ = std::exchange(recent_, {});
    std::int32_t number = 0;
    if (auto const found = older_.numbers.find(bytes); found != older_.numbers.end()) {
      number = found->second;
    } else {
      if (last_ == std::numeric_limits<std::int32_t>::max())
        throw Error("folio: a KeyTable has given out all of its 2147483647 numbers; make a new one and clear the tree");
      number = last_ + 1;
    }
    auto const entry = recent_.numbers.emplace(bytes, number).first;
    try {
      recent_.names.emplace(number, &entry->first);
    } catch (...) {
      recent_.numbers.erase(entry);
      throw;
    }
    last_ = std::max(last_, number);
    return number;
  }

  std::size_t max_generation_;
  Generation recent_, older_;  // the older one is forgotten as a whole
  std::int32_t last_ = 0;
};

}  // namespace folio
