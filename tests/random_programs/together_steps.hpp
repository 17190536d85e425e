// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Steps of random programs: batches whose queries are new tokens, last ones, at given positions or of given limits,
// with padding; tokens written anew; and attention, compared with its formula over what the queries should see.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "random_programs/together_state.hpp"
#include "support/naive_attention.hpp"

namespace folio::test {

template <class Cache>
class TogetherSteps : protected TogetherState<Cache> {
 protected:
  using State = TogetherState<Cache>;
  using State::all_, State::cache_, State::contents_, State::counts_, State::random_, State::what_;
  using State::any, State::attempt, State::check_all, State::expect, State::fail, State::has_windows, State::num_groups;
  using State::one_in, State::sinks, State::write;
  using State::State;
  using typename State::Running;

  void attend() {
    what_ = "batch";
    std::vector<Running*> chosen;
    for (auto const& one : all_) chosen.push_back(one.get());
    std::shuffle(chosen.begin(), chosen.end(), random_);
    chosen.resize(std::min(chosen.size(), static_cast<std::size_t>(1 + any(3))));
    std::vector<Asked> asked;
    std::vector<BatchItem> items;
    bool is_possible = true, is_impossible = false;
    for (Running* const one : chosen) {
      asked.push_back(ask(*one));
      is_possible = is_possible && asked.back().is_possible;
      is_impossible = is_impossible || asked.back().is_impossible;
    }
    for (Asked const& one : asked) items.push_back(one.item());
    bool const rewrites = asked.size() == 1 && !is_impossible && asked[0].kind == Queries::positions && own(asked[0]);
    BatchPadding const padding = any_padding();
    if (!attempt(is_possible, is_impossible, [&] { cache_.batch(items, step_batch_, padding); })) return;
    auto const anew = cache_.batch(items, padding);
    expect(std::ranges::equal(step_batch_.bytes(), anew.bytes()), "a batch that was kept differs from one made anew");
    if (rewrites) rewrite(asked[0]);
    compare_attention(asked);
  }

 private:
  enum class Queries { new_ones, last, positions, limits };
  /// What a step asks of a sequence. Of some, windows decide: neither possible nor impossible.
  struct Asked {
    Running* of = nullptr;
    Queries kind = Queries::new_ones;
    std::vector<std::int32_t> given = {};  // positions or limits
    std::int32_t num_queries = 0;
    bool is_possible = true, is_impossible = false;

    [[nodiscard]] BatchItem item() const {
      if (kind == Queries::positions) return {&of->sequence, std::span<std::int32_t const>(given)};
      if (kind == Queries::limits) return BatchItem::seeing(&of->sequence, given);
      return {&of->sequence, kind == Queries::last ? num_queries : BatchItem::last_extension};
    }
    /// The last position that a query sees.
    [[nodiscard]] std::int32_t position(std::int32_t query) const {
      if (kind == Queries::positions) return given[static_cast<std::size_t>(query)];
      if (kind == Queries::limits) return given[static_cast<std::size_t>(query)] - 1;
      return of->length() - num_queries + query;
    }
  };

  Asked ask(Running& one) {
    Asked asked{&one, static_cast<Queries>(any(4))};
    if (asked.kind == Queries::new_ones) {
      asked.num_queries = one.sequence.num_new_tokens();
    } else if (asked.kind == Queries::last) {
      asked.num_queries = any(std::min(one.length(), 30) + 1);
      ask_last(asked);
    } else {
      give(asked);
    }
    return asked;
  }
  void ask_last(Asked& asked) const {
    Running const& one = *asked.of;
    std::int32_t const n = asked.num_queries;
    bool good = n == 0 || one.length() - n >= one.gaps_end();
    for (int g = 0; g < num_groups && one.num_demoted > 0 && n > 0; ++g)
      good = good && (!group_demotes<Cache>(g) || n <= one.num_stored(g) - sinks() - one.num_demoted);
    asked.is_impossible = !good;
    asked.is_possible = good && (!has_windows() || n <= one.sequence.num_new_tokens());
  }
  /// Positions or limits, mostly such that can be asked for.
  void give(Asked& asked) {
    Running const& one = *asked.of;
    bool const limits = asked.kind == Queries::limits, anything = one_in(5), near = one_in(2);
    std::int32_t const demoted_end = one.num_demoted > 0 ? sinks() + one.num_demoted : 0, length = one.length();
    std::multiset<std::int32_t> drawn;
    for (std::int32_t i = 1 + any(6); i > 0 && length > 0; --i) {
      std::int32_t const p = (near ? length - 1 - any(std::min(length, 12)) : any(length)) + (limits ? any(2) : 0);
      bool const good = p >= demoted_end && !one.in_gap(p, limits);
      if ((!good && !anything) || (!limits && drawn.contains(p))) continue;
      drawn.insert(p);
      asked.is_impossible = asked.is_impossible || !good;
      std::int32_t const first = length - one.sequence.num_new_tokens() + (limits ? 1 : 0);
      asked.is_possible = asked.is_possible && good && (!has_windows() || p >= first);
    }
    asked.given.assign(drawn.begin(), drawn.end());
    asked.num_queries = static_cast<std::int32_t>(drawn.size());
    ++(limits ? counts_.given_limits : counts_.given_positions);
  }

  BatchPadding any_padding() {
    if (!one_in(3)) return {};
    return {.num_sequences = any(6),
            .num_query_tokens = any(60),
            .num_tokens = any(150),
            .row_blocks = any(4),
            .has_limits = one_in(2)};
  }
  /// The blocks of given positions, in each group; false where there are not enough.
  bool own(Asked const& asked) {
    Running& one = *asked.of;
    if (asked.given.empty()) return false;
    for (int g = 0; g < num_groups; ++g)
      for (std::int32_t const p : asked.given) {
        std::int32_t const i = one.group(g).number_of(p) - one.num_demoted_in(g) * (p >= sinks() ? 1 : 0);
        if (!one.sequence.try_own(i, i + 1, g)) return false;
      }
    return one_in(2);
  }
  void rewrite(Asked const& asked) {
    write(*asked.of, asked.given, step_batch_.view());
    ++counts_.rewritten;
    check_all();
  }

  /// Of each query one head, with the formula over the rows that it should see.
  void compare_attention(std::vector<Asked> const& asked) {
    what_ = "attend";
    auto const view = step_batch_.view();
    std::int32_t const layer = any(Cache::model.layers), num_rows = view.num_query_tokens();
    GroupShape const& shape = cache_.shape(contents_.group_of(layer));
    std::int32_t const heads = shape.kv_heads * heads_per_kv_head;
    std::vector<float> const q =
        random_floats(std::int64_t{num_rows} * heads * shape.key_dim, static_cast<std::uint32_t>(random_()), 2);
    std::vector<float> out(static_cast<std::size_t>(num_rows * heads * shape.value_dim));
    std::vector<float> lse(static_cast<std::size_t>(num_rows * heads));
    AttentionIo<float> io{q.data(), heads, out.data(), lse.data()};
    LayerRows const own = own_rows(asked, layer, num_rows);
    if (num_rows % 2 == 0) {  // the step's own tokens as they are given, else as they are stored
      io.k = own.keys.data();
      io.v = shape.values_in_keys() ? nullptr : own.values.data();
    }
    ops::attend(view, layer, io, {.scale = score_scale});
    NaiveAttention wanted;
    wanted.unit = 2e-5;        // some formats are multiplied in integers,
    wanted.largest_score = 8;  // and scores are sums of products that are larger
    std::vector<float> picked_out, picked_lse;
    std::int32_t row = 0;
    for (Asked const& one : asked) {
      LayerRows const rows = visible_rows(*one.of, layer);
      for (std::int32_t query = 0; query < one.num_queries; ++query, ++row) {
        std::int32_t const at = row * heads + any(heads);
        attend_naively(wanted, one, query, q.data() + at * shape.key_dim, rows, layer, at % heads);
        picked_out.insert(picked_out.end(), out.begin() + at * shape.value_dim,
                          out.begin() + (at + 1) * shape.value_dim);
        picked_lse.push_back(lse[static_cast<std::size_t>(at)]);
      }
    }
    std::string const what = difference(wanted, picked_out, picked_lse);
    if (!what.empty()) fail("layer " + std::to_string(layer) + ": " + what);
    ++counts_.attended;
  }
  /// The rows of the step's query tokens; of what is nobody's token, NaN.
  LayerRows own_rows(std::vector<Asked> const& asked, std::int32_t layer, std::int32_t num_rows) {
    int const g = contents_.group_of(layer);
    GroupShape const& shape = cache_.shape(g);
    std::size_t const key = static_cast<std::size_t>(shape.kv_heads) * static_cast<std::size_t>(shape.key_dim);
    std::size_t const value = static_cast<std::size_t>(shape.kv_heads) * static_cast<std::size_t>(shape.value_dim);
    constexpr float nobody = std::numeric_limits<float>::quiet_NaN();
    LayerRows own;
    own.keys.assign(static_cast<std::size_t>(num_rows) * key, nobody);
    own.values.assign(static_cast<std::size_t>(num_rows) * value, nobody);
    std::size_t row = 0;
    for (Asked const& one : asked) {
      LayerRows const rows = visible_rows(*one.of, layer);
      auto const& stored = one.of->group(g).positions;
      for (std::int32_t query = 0; query < one.num_queries; ++query, ++row) {
        auto const at = std::lower_bound(stored.begin(), stored.end(), one.position(query)) - stored.begin();
        if (one.kind == Queries::limits) continue;
        auto const t = static_cast<std::size_t>(at);
        std::copy_n(rows.keys.data() + t * key, key, own.keys.data() + row * key);
        std::copy_n(rows.values.data() + t * value, value, own.values.data() + row * value);
      }
    }
    return own;
  }
  /// All that a layer stores, where values that are in keys are values, too.
  LayerRows visible_rows(Running const& one, std::int32_t layer) {
    GroupShape const& shape = cache_.shape(contents_.group_of(layer));
    LayerRows rows = contents_.rows_of(one, layer, 0, one.num_stored(contents_.group_of(layer)));
    for (std::size_t key = 0; key < rows.keys.size() && shape.values_in_keys();
         key += static_cast<std::size_t>(shape.key_dim))
      rows.values.insert(rows.values.end(), rows.keys.begin() + static_cast<std::ptrdiff_t>(key),
                         rows.keys.begin() + static_cast<std::ptrdiff_t>(key) + shape.value_dim);
    return rows;
  }
  void attend_naively(NaiveAttention& wanted, Asked const& asked, std::int32_t query, float const* q,
                      LayerRows const& rows, std::int32_t layer, std::int32_t head) const {
    int const g = contents_.group_of(layer);
    GroupShape const& shape = cache_.shape(g);
    auto const& stored = asked.of->group(g).positions;
    auto const end = std::upper_bound(stored.begin(), stored.end(), asked.position(query));
    auto const n = static_cast<std::int32_t>(end - stored.begin());
    std::vector<std::int32_t> seen;
    for (std::int32_t i = 0; i < n; ++i)
      if (shape.window == 0 || n - 1 - i < shape.window || i < shape.sinks) seen.push_back(i);
    test::attend_naively(wanted, seen, n - 1, q, rows.keys, rows.values, shape.kv_heads, head / heads_per_kv_head,
                         shape, {.scale = score_scale}, nullptr);
  }

  static constexpr std::int32_t heads_per_kv_head = 2;
  static constexpr float score_scale = 0.125F;

  Batch<typename Cache::StepView> step_batch_ = cache_.batch(std::span<BatchItem const>{});
};

}  // namespace folio::test
