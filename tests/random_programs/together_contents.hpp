// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence of together_program.hpp should hold: which tokens each layer group stores, and the rows of each in
// the format that it is in.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/folio.hpp>
#include <map>
#include <tuple>
#include <vector>

#include "support/layer_types.hpp"
#include "support/reference_cache.hpp"
#include "support/stored_tokens.hpp"

namespace folio::test {

/// A sequence, and what it should hold. A token is the hash of the symbols up to its own, as in a prefix.
template <class Cache>
struct TogetherSequence {
  Sequence sequence = {};
  std::vector<std::int32_t> symbols = {};
  std::vector<std::uint32_t> tokens = {};
  std::vector<StoredTokens> groups = std::vector<StoredTokens>(Cache::num_groups);
  std::int32_t num_demoted = 0;

  [[nodiscard]] std::int32_t length() const { return static_cast<std::int32_t>(symbols.size()); }
  [[nodiscard]] StoredTokens& group(int g) { return groups[static_cast<std::size_t>(g)]; }
  [[nodiscard]] StoredTokens const& group(int g) const { return groups[static_cast<std::size_t>(g)]; }
  [[nodiscard]] std::int32_t num_stored(int g) const { return static_cast<std::int32_t>(group(g).positions.size()); }
  [[nodiscard]] std::int32_t num_demoted_in(int g) const { return group_demotes<Cache>(g) ? num_demoted : 0; }

  void push(std::int32_t symbol) {
    tokens.push_back(token_after(tokens.empty() ? 1 : tokens.back(), symbol));
    for (StoredTokens& stored : groups) stored.extend(length(), 1);
    symbols.push_back(symbol);
  }
  void truncate(std::int32_t n, std::int32_t sinks) {
    symbols.resize(static_cast<std::size_t>(n));
    tokens.resize(static_cast<std::size_t>(n));
    for (StoredTokens& stored : groups) stored.truncate(n);
    num_demoted = std::clamp(n - sinks, 0, num_demoted);
  }
  /// `due` tokens more are demoted. A gap that reaches into them ends where all are there again.
  void demote(std::int32_t due, std::int32_t sinks) {
    num_demoted += due;
    for (int g = 0; g < Cache::num_groups && due > 0; ++g) {
      StoredTokens& stored = group(g);
      std::int32_t const end = sinks + num_demoted;
      if (group_demotes<Cache>(g) && stored.gap_begin < end)
        stored.gap_end = std::max(stored.gap_end, end < num_stored(g) ? position(g, end) : length());
    }
  }
  [[nodiscard]] std::int32_t position(int g, std::int32_t number) const {
    return group(g).positions[static_cast<std::size_t>(number)];
  }
  /// Whether a group has not all of the tokens that a query at `position`, or one with that limit, would see.
  [[nodiscard]] bool in_gap(std::int32_t position, bool is_limit) const {
    return std::any_of(groups.begin(), groups.end(), [&](StoredTokens const& stored) {
      return (is_limit ? position > stored.gap_begin : position >= stored.gap_begin) && position < stored.gap_end;
    });
  }
  [[nodiscard]] std::int32_t gaps_end() const {
    std::int32_t end = 0;
    for (StoredTokens const& stored : groups) end = std::max(end, stored.gap_end);
    return end;
  }
  [[nodiscard]] std::int32_t num_exact() const {
    std::int32_t exact = length();
    for (StoredTokens const& stored : groups) exact = std::min(exact, stored.gap_begin);
    return exact;
  }
};

/// The rows of tokens: as they are written, and as they are read back from their layer group's own format and from the
/// one they are demoted to. A row is decode(encode(row)), and demoted it is that of what was stored.
template <class Cache>
class TogetherContents {
 public:
  explicit TogetherContents(Cache& cache) : cache_(cache) {}

  [[nodiscard]] int group_of(std::int32_t layer) const { return cache_.pattern().place(layer).group; }

  /// What is appended for a token: [kv head][dim]. Exact in every format of 16 bits or more.
  [[nodiscard]] LayerRows written_rows(std::uint32_t token, std::int32_t layer) const {
    GroupShape const& shape = cache_.shape(group_of(layer));
    LayerRows rows;
    for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
      for (std::int32_t d = 0; d < shape.key_dim; ++d) rows.keys.push_back(element(token, layer, head, 0, d));
      for (std::int32_t d = 0; d < shape.value_dim && !shape.values_in_keys(); ++d)
        rows.values.push_back(element(token, layer, head, 1, d));
    }
    return rows;
  }
  /// What is read back.
  LayerRows const& rows(std::uint32_t token, std::int32_t layer, bool demoted) {
    auto const [place, is_new] = rows_.try_emplace({token, layer, demoted});
    if (is_new) {
      int const g = group_of(layer);
      LayerRows& rows = place->second = written_rows(token, layer);
      with_layer_type<FirstViewOf<Cache>>(g, [&]<class Layer>() { through<Layer>(g, rows); });
      if constexpr (Cache::has_demotion)
        if (demoted) through<typename Cache::Demotion::Set>(g, rows);
    }
    return place->second;
  }
  /// Of the tokens [first, last) that a layer's group stores of a sequence: [token][kv head][dim].
  LayerRows rows_of(TogetherSequence<Cache> const& of, std::int32_t layer, std::int32_t first, std::int32_t last) {
    int const g = group_of(layer);
    std::int32_t const sinks = num_sinks(cache_);
    LayerRows all;
    for (std::int32_t i = first; i < last; ++i) {
      bool const demoted = i >= sinks && i < sinks + of.num_demoted_in(g);
      LayerRows const& one = rows(of.tokens[static_cast<std::size_t>(of.position(g, i))], layer, demoted);
      all.keys.insert(all.keys.end(), one.keys.begin(), one.keys.end());
      all.values.insert(all.values.end(), one.values.begin(), one.values.end());
    }
    return all;
  }
  [[nodiscard]] static std::int32_t num_sinks(Cache const& cache) {
    if constexpr (Cache::has_demotion) return cache.sinks();
    return 0;
  }

 private:
  static float element(std::uint32_t token, std::int32_t layer, std::int32_t head, int plane, std::int32_t d) {
    return std::round(written(token, 0, layer, head, plane, d + 1) * 16) / 16;  // 7 bits
  }
  template <class Formats>
  void through(int g, LayerRows& rows) const {
    encode_once<typename Formats::KeyQuantizer>(rows.keys, cache_.shape(g).key_dim);
    encode_once<typename Formats::ValueQuantizer>(rows.values, cache_.shape(g).value_dim);
  }
  template <QuantizerPolicy Q>
  static void encode_once(std::vector<float>& rows, std::int32_t dim) {
    alignas(16) std::byte codes[256] = {}, params[64] = {};
    for (auto row = rows.begin(); row < rows.end(); row += dim) {
      Q::encode(&*row, dim, codes, params);
      decode_row<Q>(codes, params, dim, &*row);
      change_basis(Q::basis, &*row, dim, dim);
    }
  }

  Cache& cache_;
  std::map<std::tuple<std::uint32_t, std::int32_t, bool>, LayerRows> rows_;
};

}  // namespace folio::test
