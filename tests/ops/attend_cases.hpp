// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention on the device against the formula in double, for every layer of a cache: what the tests of attend and
// prefill share.

#include "support/simt_cache.hpp"
//
#include <algorithm>
#include <cmath>
#include <folio/attention/device/checks.cuh>
#include <folio/attention/params.hpp>
#include <folio/cuda_runtime.cuh>
#include <folio/ops/decode.cuh>
#include <functional>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/naive_attention.hpp"

namespace folio::test {

/// Full attention, a window with sinks, and latent rows, of dims that lanes do not share evenly; 2 kv heads each, but
/// for the latents.
constexpr folio::ModelConfig hybrid_model{
    .layers = 3,
    .kv_heads = 2,
    .head_dim = 64,
    .value_head_dim = 40,
    .groups = {folio::full_attention(), folio::sliding_window(20, 3), folio::latent(64, 32)},
    .pattern = folio::repeat_groups({0, 1, 2})};
using HybridBlocks = folio::BlockSizes<16, 6, 4>;  // 6: a step of neighbouring tokens lies in two blocks
constexpr folio::ModelConfig llama_model{.layers = 1, .kv_heads = 2, .head_dim = 128};
constexpr folio::ModelConfig small_model{.layers = 1, .kv_heads = 2, .head_dim = 16};

struct AttendCase {
  std::int32_t num_query_heads;
  bool sink_logits = false;
  float scale = 0.05F;
  bool causal = true;
  float logit_soft_cap = 0;
  bool alibi = false;
  bool tree_mask = false;
  std::int32_t token_begin = 0, token_end = INT32_MAX;
  std::int32_t gap = 0;     ///< elements between two tokens' rows of q, of out, and of own tokens
  bool own_tokens = false;  ///< the step's keys and values are given
};

/// A word for each query token: most see themselves and some others; every seventh sees no token of the step.
inline std::vector<std::uint64_t> random_tree(std::size_t num_query_tokens) {
  std::vector<std::uint64_t> words(num_query_tokens);
  std::uint64_t x = 0x9E3779B97F4A7C15U;
  for (std::size_t i = 0; i < words.size(); ++i) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    words[i] = i % 7 == 3 ? 0 : x ^ (x >> 29);
  }
  return words;
}

/// Largest difference, relative to the largest magnitude; huge where only one is a number, or infinities differ.
template <class Wanted>
double difference(std::vector<Wanted> const& wanted, std::vector<float> const& device) {
  double worst = wanted.size() == device.size() ? 0 : 1e30, largest = 1e-30;
  for (std::size_t i = 0; i < wanted.size() && i < device.size(); ++i) {
    double const a{wanted[i]}, b{device[i]};
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;  // both -infinity as well
    double const here = std::abs(a - b);
    worst = here <= worst ? worst : std::isnan(here) ? 1e30 : here;
    if (std::isfinite(a)) largest = std::max(largest, std::abs(a));
  }
  return worst / largest;
}

/// What a result in T may be off by: sums of floats, and the rounding to T.
template <class T>
constexpr double tolerance = 2e-5;
template <>
inline constexpr double tolerance<folio::Half> = 0x1p-11 + 2e-5;
template <>
inline constexpr double tolerance<folio::BFloat16> = 0x1p-8 + 2e-5;

/// Random numbers from -4 to 4 as T, in the runner's memory, and the same as floats.
template <class T>
struct Activations {
  Activations(std::size_t size, std::uint32_t seed) : floats(random_rows(size, seed)), device(size, "activations") {
    for (std::size_t i = 0; i < size; ++i) {
      folio::ops::store_element(floats[i], device[i]);
      floats[i] = folio::ops::load_element(device[i]);
    }
  }
  std::vector<float> floats;
  simt::Buffer<T> device;
};

/// A step's own keys or values: rows of T for the queries that there are, and none for padding.
template <class T>
struct OwnRows {
  OwnRows(std::size_t num_rows, std::size_t row, std::size_t gap, std::uint32_t seed)
      : rows(num_rows == 0 ? 0 : num_rows * (row + gap) - gap, seed) {
    for (std::size_t i = 0; i < rows.floats.size(); ++i)
      if (i % (row + gap) < row) floats.push_back(rows.floats[i]);
  }
  Activations<T> rows;
  std::vector<float> floats;  ///< without gaps
};

/// The first `num_rows` rows of `row` elements as floats. What lies between them and after is padding, which must be as
/// it was: bytes 0xff.
template <class T>
std::vector<float> written(simt::Buffer<T> const& buffer, std::size_t num_rows, std::size_t row, std::size_t gap = 0) {
  std::vector<float> floats;
  bool is_kept = true;
  for (std::size_t i = 0; i < buffer.size(); ++i) {
    bool const is_written = i / (row + gap) < num_rows && i % (row + gap) < row;
    if (is_written) floats.push_back(folio::ops::load_element(buffer[i]));
    auto const* const bytes = reinterpret_cast<unsigned char const*>(buffer.data() + i);
    is_kept = is_kept && (is_written || std::all_of(bytes, bytes + sizeof(T), [](auto b) { return b == 0xFF; }));
  }
  CHECK(is_kept);
  return floats;
}

/// Runs `op(view, layer, io, params)` for every layer, with queries of T and results of Out, and compares with the
/// formula. `change` may change the queries first, and `change_own` the step's own keys and values.
template <class T, class Out, class TwinCaches, class Op>
void is_attention(TwinCaches& twins, AttendCase const& c, Op const& op, folio::BatchPadding const& padding = {},
                  std::function<void(Activations<T>&, std::int32_t key_dim)> const& change = {},
                  std::function<void(OwnRows<T>& k, OwnRows<T>& v, GroupShape const&)> const& change_own = {}) {
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch();
  SimtBatch<View> const on_device(twins.device_batch(padding));
  folio::DeviceView<View> const device(on_device.view());
  auto const heads = static_cast<std::size_t>(c.num_query_heads), gap = static_cast<std::size_t>(c.gap);
  auto const tokens = static_cast<std::size_t>(host.num_query_tokens());
  auto const padded_tokens = static_cast<std::size_t>(device.num_query_tokens());
  std::vector<float> const sinks = random_rows(heads, 5), slopes = random_rows(heads, 15);
  std::vector<std::uint64_t> const tree = random_tree(padded_tokens);
  simt::Buffer<float> const device_sinks(sinks, "sink logits"), device_slopes(slopes, "slopes");
  simt::Buffer<std::uint64_t> const device_tree(tree, "tree mask");
  auto const params = [&](float const* sink_logits, float const* alibi_slopes, std::uint64_t const* tree_mask) {
    return folio::AttentionParams{.scale = c.scale,
                                  .causal = c.causal,
                                  .logit_soft_cap = c.logit_soft_cap,
                                  .token_begin = c.token_begin,
                                  .token_end = c.token_end,
                                  .sink_logits = c.sink_logits ? sink_logits : nullptr,
                                  .alibi_slopes = c.alibi ? alibi_slopes : nullptr,
                                  .tree_mask = c.tree_mask ? tree_mask : nullptr};
  };
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    folio::GroupShape const& shape = twins.host().shape(host.view().place(layer).group);
    if (c.num_query_heads % shape.kv_heads != 0) continue;
    CAPTURE(layer, c.num_query_heads, c.sink_logits);
    bool const is_refused = !c.causal && shape.window != 0 && device.group(0).limits != nullptr;
    auto const key_dim = static_cast<std::size_t>(shape.key_dim), value_dim = static_cast<std::size_t>(shape.value_dim);
    std::size_t const q_row = heads * key_dim, out_row = heads * value_dim;
    Activations<T> q(padded_tokens * (q_row + gap), 9);
    if (change) change(q, shape.key_dim);
    std::vector<float> queries;
    for (std::size_t token = 0; token < tokens; ++token) {
      auto const row = q.floats.begin() + static_cast<std::ptrdiff_t>(token * (q_row + gap));
      queries.insert(queries.end(), row, row + static_cast<std::ptrdiff_t>(q_row));
    }
    auto const kv_heads = static_cast<std::size_t>(shape.kv_heads), own = c.own_tokens ? tokens : 0;
    OwnRows<T> k(own, kv_heads * key_dim, gap, 21), v(own, kv_heads * value_dim, gap, 22);
    if (change_own) change_own(k, v, shape);
    NaiveOwn naive_own;
    if (c.own_tokens) naive_own = {k.floats.data(), shape.values_in_keys() ? nullptr : v.floats.data()};
    auto const wanted = folio::test::naive_attention(host.view(), layer, queries.data(), c.num_query_heads,
                                                     params(sinks.data(), slopes.data(), tree.data()), naive_own);
    simt::Buffer<Out> const device_out(padded_tokens * (out_row + gap), "out");
    simt::Buffer<float> const device_lse(padded_tokens * heads, "lse");
    folio::AttentionIo<T, Out> io{q.device.data(), c.num_query_heads, device_out.data(), device_lse.data()};
    if (gap != 0) io.q_stride = std::int64_t(q_row + gap), io.out_stride = std::int64_t(out_row + gap);
    if (c.own_tokens) {
      io.k = k.rows.device.data();
      if (!shape.values_in_keys()) io.v = v.rows.device.data();
      if (gap != 0) io.k_stride = std::int64_t(kv_heads * key_dim + gap);
      if (gap != 0) io.v_stride = std::int64_t(kv_heads * value_dim + gap);
    }
    simt::streams(11);  // threads and blocks take turns in an order drawn with this
    if (is_refused) {
      CHECK_THROWS_WITH(op(device, layer, io, params(nullptr, nullptr, nullptr)),
                        contains("without causality a query sees what comes after its window"));
      continue;
    }
    op(device, layer, io, params(device_sinks.data(), device_slopes.data(), device_tree.data()));
    folio::check_cuda(cudaDeviceSynchronize(), "waiting for the device");
    CHECK(difference(wanted.out, written(device_out, tokens, out_row, gap)) < tolerance<Out>);
    CHECK(difference(wanted.lse, written(device_lse, tokens, heads)) < 2e-5);
  }
}

/// Masks and score modifications, one by one and together, for the sequences of `fill`: with a chunk of 7, a step of up
/// to 11 query tokens of a sequence, which a range of tokens leaves nothing for here and there.
inline std::vector<AttendCase> modified_cases(std::int32_t heads) {
  return {{.num_query_heads = heads, .causal = false},
          {.num_query_heads = heads, .sink_logits = true, .token_begin = 3, .token_end = 30},
          {.num_query_heads = heads, .causal = false, .token_begin = 17},
          {.num_query_heads = heads, .sink_logits = true, .logit_soft_cap = 2.5F},
          {.num_query_heads = heads, .scale = 0.03F, .alibi = true},
          {.num_query_heads = heads, .tree_mask = true},
          {.num_query_heads = heads, .gap = 24},
          {.num_query_heads = heads,
           .sink_logits = true,
           .causal = false,
           .logit_soft_cap = 4,
           .alibi = true,
           .tree_mask = true,
           .token_begin = 1,
           .token_end = 70,
           .gap = 8}};
}

/// Writes keys and values of the last appends, the same into both caches.
template <class... Policies>
void write_rows(Twins<Policies...>& twins, std::uint32_t seed) {
  auto const host = twins.host_batch();
  auto const device = twins.device_batch();
  for (std::int32_t layer = 0; layer < Twins<Policies...>::Host::model.layers; ++layer) {
    auto const tokens = static_cast<std::size_t>(host.num_query_tokens());
    std::vector<float> const keys = random_rows(tokens * 576, 3 + seed), values = random_rows(tokens * 256, 30 + seed);
    folio::ops::append(host.view(), layer, keys.data(), values.data());
    folio::ops::append(device.view(), layer, keys.data(), values.data());
  }
}

/// Sequences with every edge of a block of 16, an empty one, one whose sinks and window nearly meet, and a fork, in two
/// steps. The second brings each of them
/// `chunk` tokens and some more to every other one, whose keys and values are stored, or not yet.
template <class... Policies>
void fill(Twins<Policies...>& twins, std::int32_t chunk, bool is_appended = true) {
  for (std::int32_t const length : {1, 0, 16, 17, 61, 25}) twins.add(length);
  write_rows(twins, 0);
  twins.fork(4);
  twins.cut_blocks(4, 1, 2);  // its groups have different lengths
  for (std::size_t i = 0; i < 7; ++i) twins.extend(i, i == 1 ? 0 : chunk + (i % 2 == 0 ? 0 : 4));
  if (is_appended) write_rows(twins, 1);
}

/// Sequences of which a window gave nothing back, and queries anywhere in them, around a gap, in a fork, and elsewhere:
/// more of one sequence than a tile of prefill's has, and two that see nothing.
template <class... Policies>
void fill_scattered(Twins<Policies...>& twins) {
  for (std::int32_t const length : {1, 0, 16, 17, 61, 25}) twins.add(length);
  write_rows(twins, 0);
  twins.fork(4);
  twins.cut_blocks(4, 1, 2);  // up to 48 in blocks of 16
  twins.ask_at(2, {0, 7, 15});
  twins.ask_seeing(3, {0, 0, 3, 3, 17});
  twins.ask_at(4, {1, 3, 50, 60});
  twins.ask_at(6, {0, 2, 3, 5, 6, 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40, 41, 55, 59});
}

/// Masks and score modifications that go with limits.
inline std::vector<AttendCase> limit_cases(std::int32_t heads) {
  return {{.num_query_heads = heads},
          {.num_query_heads = heads, .causal = false},
          {.num_query_heads = heads, .sink_logits = true, .token_begin = 2, .token_end = 33},
          {.num_query_heads = heads, .sink_logits = true, .logit_soft_cap = 2.5F, .alibi = true}};
}

/// Changes rows of both caches alike: `change(shape, i, first_query, num_tokens, store)` for each sequence in each
/// layer, where store(head, token, key, value) fills the rows of a token with a number each.
template <class... Policies, class Change>
void change_rows(Twins<Policies...>& twins, Change const& change) {
  auto const change_one = [&](auto const& view) {
    for (std::int32_t layer = 0; layer < Twins<Policies...>::Host::model.layers; ++layer)
      folio::ops::with_group(view, layer, [&](auto group, std::int32_t index) {
        for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
          auto const sequence = view.template sequence_in<group()>(i, index);
          folio::GroupShape const shape = sequence.shape();
          auto const store = [&](std::int32_t head, std::int32_t token, float key, float value) {
            std::vector<float> const keys(static_cast<std::size_t>(shape.key_dim), key);
            std::vector<float> const values(static_cast<std::size_t>(shape.value_dim), value);
            sequence.key(head, token).store(keys.data(), shape.key_dim);
            if (!shape.values_in_keys()) sequence.value(head, token).store(values.data(), shape.value_dim);
          };
          change(shape, i, sequence.first_query(), sequence.num_tokens(), store);
        }
      });
  };
  change_one(twins.host_batch().view());
  change_one(twins.device_batch().view());
}

/// Puts NaN and infinity where queries must not see them: in what lies in a block with the window of a sequence's first
/// query, and in its last token, which only its last query sees.
template <class... Policies>
void poison_unseen(Twins<Policies...>& twins) {
  change_rows(twins, [](folio::GroupShape const& shape, std::int32_t, std::int32_t first_query, std::int32_t num_tokens,
                        auto const& store) {
    std::int32_t const begin = shape.window_begin(first_query);
    for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
      for (std::int32_t t = begin / shape.block_size * shape.block_size; t < begin; ++t)
        if (t >= shape.sinks) store(head, t, NAN, INFINITY);
      if (num_tokens > first_query) store(head, num_tokens - 1, NAN, head % 2 == 0 ? INFINITY : NAN);
    }
  });
}

/// A NaN in one element of one query head.
template <class T>
void spoil_a_query(Activations<T>& q, std::int32_t key_dim, std::size_t row) {
  std::size_t const i = row * static_cast<std::size_t>(key_dim) + 3;
  q.floats[i] = NAN;
  folio::ops::store_element(NAN, q.device[i]);
}

}  // namespace folio::test
