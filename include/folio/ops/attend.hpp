// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values: decode, chunked prefill and anything between. Host only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/ops/rows.hpp>
#include <folio/ops/thread_pool.hpp>
#include <folio/ops/with_group.hpp>
#include <limits>
#include <vector>

namespace folio::ops {

struct AttendOptions {
  float scale = 0;                     ///< of the scores; 0: 1 / sqrt(key dim), which a latent layer must not rely on
  bool causal = true;                  ///< false: every query sees all tokens (a window still counts back from it)
  float const* sink_logits = nullptr;  ///< [num_query_heads] a score that takes part in the softmax without a value
  std::int32_t token_begin = 0;  ///< only tokens [token_begin, token_end): a part, to be merged by merge_attention
  std::int32_t token_end = std::numeric_limits<std::int32_t>::max();
  ThreadPool* threads = nullptr;
};

namespace detail {

inline float dot(float const* a, float const* b, std::int32_t n) {
  float lanes[8] = {};  // a fixed order of additions, which vectorizes: n is a multiple of 8
  for (std::int32_t i = 0; i < n; i += 8)
    for (int j = 0; j < 8; ++j) lanes[j] += a[i + j] * b[i + j];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// The running softmax of one query (Milakov and Gimelshein, arXiv:1805.02867).
struct RunningSoftmax {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0;

  /// Takes in `n` scores and their rows of values; scores become weights.
  void add(float* scores, float const* values, std::int32_t n, std::int32_t dim, float* out) {
    float const next = std::max(max, *std::max_element(scores, scores + n));
    if (next == -std::numeric_limits<float>::infinity()) return;
    float const keep = std::exp(max - next);
    if (keep != 1.0F)
      for (std::int32_t d = 0; d < dim; ++d) out[d] *= keep;
    sum *= keep;
    for (std::int32_t t = 0; t < n; ++t) {
      float const weight = std::exp(scores[t] - next);
      sum += weight;
      float const* const value = values + std::int64_t{t} * dim;
      for (std::int32_t d = 0; d < dim; ++d) out[d] += weight * value[d];
    }
    max = next;
  }
};

/// The work of one kv head for a few query tokens of one sequence: all its query heads at once, so that each key and
/// value is decoded once for all of them.
template <class View, class Sequence>
class AttendTask {
 public:
  AttendTask(Sequence const& sequence, std::int32_t kv_head, std::int32_t num_query_heads, AttendOptions const& options)
      : sequence_(sequence),
        shape_(sequence.shape()),
        kv_head_(kv_head),
        num_query_heads_(num_query_heads),
        heads_(num_query_heads / shape_.kv_heads),
        options_(options) {}

  /// `q`, `out` and `lse` begin at query token `first` of the sequence, of which `count` are done.
  void run(float const* q, std::int32_t first, std::int32_t count, float* out, float* lse) {
    first_ = first;
    count_ = count;
    load_queries(q);
    states_.assign(index(count) * index(heads_), {});
    accumulators_.assign(states_.size() * index(shape_.value_dim), 0.0F);
    if (options_.sink_logits != nullptr) start_at_sinks();
    keys_.resize(index(shape_.block_size) * index(shape_.key_dim));
    values_.resize(index(shape_.block_size) * index(shape_.value_dim));
    scores_.resize(index(shape_.block_size));
    for (auto const block : sequence_.blocks()) add_block(block);
    store(out, lse);
  }

 private:
  static std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }
  [[nodiscard]] std::int32_t position(std::int32_t query) const { return sequence_.first_query() + first_ + query; }
  [[nodiscard]] std::int64_t row_of(std::int32_t query, std::int32_t head) const {
    return std::int64_t{query} * num_query_heads_ + std::int64_t{kv_head_} * heads_ + head;
  }

  void load_queries(float const* q) {
    float const scale = options_.scale != 0 ? options_.scale : 1.0F / std::sqrt(static_cast<float>(shape_.key_dim));
    queries_.resize(index(count_) * index(heads_) * index(shape_.key_dim));
    float* to = queries_.data();
    for (std::int32_t i = 0; i < count_; ++i) {
      for (std::int32_t head = 0; head < heads_; ++head, to += shape_.key_dim) {
        float const* const from = q + row_of(i, head) * shape_.key_dim;
        for (std::int32_t d = 0; d < shape_.key_dim; ++d) to[d] = from[d] * scale;
        change_basis(View::KeyQuantizer::basis, to, shape_.key_dim,
                     shape_.key_dim);  // instead of turning every key back
      }
    }
  }

  void start_at_sinks() {
    for (std::size_t i = 0; i < states_.size(); ++i)
      states_[i] = {options_.sink_logits[index(kv_head_ * heads_) + i % index(heads_)], 1.0F};
  }

  /// The first and one past the last slot of a block that query `i` sees; a window can cut the front, causality the
  /// end.
  template <class Block>
  void add_block(Block const& block) {
    std::int32_t const begin = std::max(0, std::max(0, options_.token_begin) - block.first_token());
    std::int32_t const end = std::min(block.size(), std::max(0, options_.token_end) - block.first_token());
    std::int32_t const last_seen = options_.causal ? position(count_ - 1) : sequence_.num_tokens() - 1;
    if (begin >= end || block.first_token() + begin > last_seen) return;
    for (std::int32_t slot = begin; slot < end; ++slot) {
      load_row(block.key(kv_head_, slot), shape_.key_dim, keys_.data() + index(slot) * index(shape_.key_dim));
      load_row(block.value(kv_head_, slot), shape_.value_dim, values_.data() + index(slot) * index(shape_.value_dim));
    }
    for (std::int32_t i = 0; i < count_; ++i) add_block_for(i, block.first_token(), begin, end);
  }

  /// A window and the sinks leave at most two stretches of a block visible: [begin, sinks) and [window, end).
  void add_block_for(std::int32_t i, std::int32_t first_token, std::int32_t begin, std::int32_t end) {
    std::int32_t const at = position(i);
    if (options_.causal) end = std::min(end, at + 1 - first_token);
    std::int32_t const window = std::clamp(shape_.window_begin(at) - first_token, begin, std::max(begin, end));
    std::int32_t const sinks = std::clamp(shape_.sinks - first_token, begin, window);
    add_slots(i, begin, std::min(sinks, end));
    add_slots(i, window, end);
  }

  void add_slots(std::int32_t i, std::int32_t begin, std::int32_t end) {
    if (begin >= end) return;
    for (std::int32_t head = 0; head < heads_; ++head) {
      std::size_t const row = index(i) * index(heads_) + index(head);
      float const* const query = queries_.data() + row * index(shape_.key_dim);
      for (std::int32_t slot = begin; slot < end; ++slot)
        scores_[index(slot - begin)] = dot(query, keys_.data() + index(slot) * index(shape_.key_dim), shape_.key_dim);
      states_[row].add(scores_.data(), values_.data() + index(begin) * index(shape_.value_dim), end - begin,
                       shape_.value_dim, accumulators_.data() + row * index(shape_.value_dim));
    }
  }

  void store(float* out, float* lse) {
    for (std::int32_t i = 0; i < count_; ++i) {
      for (std::int32_t head = 0; head < heads_; ++head) {
        std::size_t const row = index(i) * index(heads_) + index(head);
        RunningSoftmax const state = states_[row];
        float* const sum = accumulators_.data() + row * index(shape_.value_dim);
        float const norm = state.sum > 0 ? 1.0F / state.sum : 0.0F;  // a query that saw nothing gives zeros
        for (std::int32_t d = 0; d < shape_.value_dim; ++d) sum[d] *= norm;
        change_value_basis<View>(shape_, sum);
        std::copy(sum, sum + shape_.value_dim, out + row_of(i, head) * shape_.value_dim);
        if (lse != nullptr)
          lse[row_of(i, head)] =
              state.sum > 0 ? state.max + std::log(state.sum) : -std::numeric_limits<float>::infinity();
      }
    }
  }

  Sequence const& sequence_;
  GroupShape shape_;
  std::int32_t kv_head_, num_query_heads_, heads_;  // heads_: query heads of this kv head
  AttendOptions const& options_;
  std::int32_t first_ = 0, count_ = 0;
  std::vector<float> queries_, accumulators_, keys_, values_, scores_;
  std::vector<RunningSoftmax> states_;
};

}  // namespace detail

/// Softmax attention of a step's query tokens over everything their sequences have stored in one layer.
///
/// `q`: [view.num_query_tokens()][num_query_heads][key_dim], `out`: [..][num_query_heads][value_dim], `lse` (or null):
/// [..][num_query_heads] natural logarithm of the sum of exponentiated scores. num_query_heads is a multiple of
/// kv_heads; query head h reads kv head h / (num_query_heads / kv_heads): MHA, GQA, MQA, and MLA with the absorbed
/// query of rank + rope dims. Causal: the query at position p sees tokens up to p, in a window layer those of its
/// window and the sinks. A query that sees nothing gives zeros and an lse of -infinity, which merge_attention takes.
/// The result of a query does not depend on the other queries, on how a prompt was cut into steps, or on `threads`.
/// Throws Error, before anything is written, for a layer or head count that does not fit. Reads each key and value once
/// for all query heads of its kv head and up to 32 query tokens.
template <HostReadableView View>
void attend(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads, float* out,
            float* lse = nullptr, AttendOptions const& options = {}) {
  constexpr std::int32_t queries_per_task = 32;
  with_group(view, layer, [&](auto group, std::int32_t index) {
    GroupShape const shape = LayerView<View, group()>(view.group(group()), index).shape();
    if (num_query_heads < 1 || num_query_heads % shape.kv_heads != 0)
      throw Error("folio: " + std::to_string(num_query_heads) + " query heads cannot share " +
                  std::to_string(shape.kv_heads) + " kv heads; give a multiple");
    struct Task {
      std::int32_t sequence, kv_head, first, count;
    };
    std::vector<Task> tasks;
    for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
      std::int32_t const queries = view.query_start(i + 1) - view.query_start(i);
      for (std::int32_t first = 0; first < queries; first += queries_per_task)
        for (std::int32_t head = 0; head < shape.kv_heads; ++head)
          tasks.push_back({i, head, first, std::min(queries_per_task, queries - first)});
    }
    parallel_for(options.threads, static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t) {
      Task const& task = tasks[static_cast<std::size_t>(t)];
      auto const sequence = view.template sequence_in<group()>(task.sequence, index);
      std::int64_t const row = std::int64_t{view.query_start(task.sequence) + task.first} * num_query_heads;
      detail::AttendTask<View, std::remove_const_t<decltype(sequence)>> work(sequence, task.kv_head, num_query_heads,
                                                                             options);
      work.run(q + row * shape.key_dim, task.first, task.count, out + row * shape.value_dim,
               lse != nullptr ? lse + row : nullptr);
    });
  });
}

}  // namespace folio::ops
