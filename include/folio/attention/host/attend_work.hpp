// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a step's attention is shared out, and what a call is. It decides who sums what, and no bit of the result. Host
// only.

#include <algorithm>
#include <cstdint>
#include <folio/attention/host/attend_layer.hpp>
#include <folio/attention/host/token_tile.hpp>
#include <folio/attention/host/visible_tiles.hpp>
#include <folio/attention/own_tokens.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <vector>

namespace folio::ops::detail {

/// Query rows of a kv head up to which a task is bound by memory.
inline constexpr std::int32_t few_rows = 8;

/// Some kv heads of a few query tokens of one sequence.
struct AttendWork {
  std::int32_t sequence, first_head, kv_heads, first, count;
  std::int32_t parts = 0;       ///< of its tokens, each summed by itself; 0: one thread sums all tokens
  std::int64_t first_sums = 0;  ///< of the sums [part][kv head]
  bool sees_few = false;        ///< none of its queries sees more tokens than few_tokens
};

/// A work, or one part of its tokens.
struct AttendPiece {
  std::size_t work;
  std::int32_t part;  ///< -1: all
};

/// A step's works in a group of layers.
struct AttendShares {
  std::vector<AttendWork> works;
  std::vector<AttendPiece> pieces;
  std::int64_t num_sums = 0;
  std::int32_t most_queries = 0, most_kv_heads = 0, most_rows = 0;  ///< of a work; rows: of a kv head
  bool all_see_few = false;                                         ///< which takes no more memory than others
};

/// What a step is, and who there is to share it.
struct AttendBatch {
  std::vector<AttendSequence> const& sequences;
  std::int32_t kv_heads, heads;  ///< heads: query heads of a kv head
  std::int32_t row_elements;     ///< of a token's key and value in a kv head
  int num_threads;
  std::int32_t token_end;  ///< tokens from here on are nobody's
  bool causal = true;      ///< and no tree mask
  bool few_apart = false;  ///< queries that see few tokens have kernels of their own

  [[nodiscard]] std::int32_t parts_of(std::int32_t sequence) const {
    return blocks_for(std::max(0, std::min(sequences[to_size(sequence)].num_tokens, token_end)), part_tokens);
  }
  /// Query tokens, the first ones, that see up to few_tokens. By lengths alone: so it is the same for a token whatever
  /// else is in the step, and a prompt cut into steps has the bits of the prompt at once.
  [[nodiscard]] std::int32_t see_few(AttendSequence const& s) const {
    if (!few_apart) return 0;
    if (std::min(s.num_tokens, token_end) <= attention::few_tokens) return s.num_query_tokens;
    std::int32_t count = 0;  // what queries see ascends
    while (causal && count < s.num_query_tokens && s.position(count) < attention::few_tokens) ++count;
    return count;
  }
  /// Query tokens that are worked on at once.
  [[nodiscard]] std::int32_t together() const { return std::clamp(128 / heads, 1, most_together); }
  /// Elements of keys and values that are read, those of several works several times: below a few ten thousand of them
  /// threads would take longer to wake than to work.
  [[nodiscard]] bool is_small() const {
    std::int64_t tokens = 0;
    for (AttendSequence const& s : sequences)
      tokens += std::int64_t{std::max(0, std::min(s.num_tokens, token_end))} *
                (blocks_for(s.num_query_tokens * heads, few_rows) + 1);
    return tokens * kv_heads * row_elements < 100'000;
  }
};

/// By sequence, up to 128 rows or 32 query tokens of a kv head, and kv heads. Where rows are few, kv heads stay
/// together as long as there is work for all threads: memory is read in long stretches then, twice as fast as in the
/// pieces that a single head has in each block. A few long sequences are cut into parts of their tokens.
template <class = void>
void partition_work(AttendBatch const& step, AttendShares& to) {
  std::int32_t const together = step.together();
  std::int32_t const enough = step.num_threads > 1 && !step.is_small() ? 4 * step.num_threads : 1;
  auto const num_sequences = static_cast<std::int32_t>(step.sequences.size());
  std::int32_t most = 0;
  std::int64_t num_works = 0, num_parts = 0;
  for (std::int32_t i = 0; i < num_sequences; ++i) {
    std::int32_t const queries = step.sequences[to_size(i)].num_query_tokens;
    std::int32_t const few = step.see_few(step.sequences[to_size(i)]);
    std::int32_t const works = blocks_for(few, together) + blocks_for(queries - few, together);
    most = std::max(most, std::min(queries, together));
    num_works += works;
    num_parts += std::int64_t{works} * step.parts_of(i);
  }
  std::int64_t const pieces = std::max(std::int64_t{1}, num_works < enough ? num_parts : num_works);
  auto const by_pieces =
      static_cast<std::int32_t>(std::min<std::int64_t>(step.kv_heads * pieces / enough, step.kv_heads));
  std::int32_t const share = most * step.heads > few_rows ? 1 : std::max(1, by_pieces);
  bool const in_parts = num_works * ((step.kv_heads + share - 1) / share) < enough;
  to.works.clear();
  to.pieces.clear();
  to.num_sums = 0;
  to.all_see_few = true;
  to.most_queries = most;
  to.most_rows = most * step.heads;
  to.most_kv_heads = share;
  for (std::int32_t i = 0; i < num_sequences; ++i) {
    std::int32_t const queries = step.sequences[to_size(i)].num_query_tokens;
    std::int32_t const parts = in_parts ? step.parts_of(i) : 0;
    std::int32_t const few = step.see_few(step.sequences[to_size(i)]);
    for (std::int32_t first = 0, count = 0; first < queries; first += count) {
      count = std::min(together, (first < few ? few : queries) - first);
      for (std::int32_t head = 0; head < step.kv_heads; head += share) {
        AttendWork work{i, head, std::min(share, step.kv_heads - head), first, count};
        work.sees_few = first < few;
        to.all_see_few = to.all_see_few && work.sees_few;
        std::size_t const number = to.works.size();
        if (parts > 1) {
          work.parts = parts;
          work.first_sums = to.num_sums;
          to.num_sums += std::int64_t{parts} * work.kv_heads;
          for (std::int32_t part = 0; part < parts; ++part) to.pieces.push_back({number, part});
        } else {
          to.pieces.push_back({number, -1});
        }
        to.works.push_back(work);
      }
    }
  }
}

/// An AttentionIo with its types forgotten. Strides count elements, and are not 0.
struct AttendOperands {
  void const* q;
  void (*load)(void const* q, std::int64_t at, std::int32_t n, float* to);  ///< null: q is of floats
  std::int64_t q_stride;
  void* out;
  void (*store)(float const* from, std::int32_t n, void* out, std::int64_t at);
  std::int64_t out_stride;
  float* lse;
  void const *k, *v;  ///< of the step's own tokens, or null; `load` is theirs, too
  std::int64_t k_stride, v_stride;
};

/// What all tasks of a call share.
struct AttendCall {
  AttendLayers const& layers;
  std::int32_t index;  ///< of the layer in its group
  std::byte const* base;
  std::vector<AttendSequence> const& sequences;
  std::int32_t num_query_heads, heads;  ///< heads: query heads of a kv head
  AttentionParams const& params;
  AttendOperands io;

  /// The number of the first of a sequence's own tokens among those that it stores, or no_own_tokens.
  [[nodiscard]] std::int32_t first_own(std::int32_t sequence) const {
    AttendSequence const& s = sequences[to_size(sequence)];
    if (io.k == nullptr) return no_own_tokens;
    return first_own_token(layers.table, layers.table.lengths[sequence], s.num_query_tokens, s.first_row);
  }
};

}  // namespace folio::ops::detail
