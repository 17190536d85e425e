// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a step's attention is shared out. It decides who sums what, and no bit of the result. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/ops/tile_attention.hpp>
#include <vector>

namespace folio::ops::detail {

/// Query rows of a kv head up to which a task is bound by memory.
inline constexpr std::int32_t few_rows = 8;

/// One sequence of a step in the layer at work.
struct AttendSequence {
  std::int32_t const* blocks;  ///< its row of the block table
  std::int32_t num_tokens, num_query_tokens;
  std::int32_t first_row;   ///< the row of q at which its query tokens begin
  std::int32_t num_hidden;  ///< blocks after those of the sinks that the row of the table leaves out
  [[nodiscard]] std::int32_t first_query() const { return num_tokens - num_query_tokens; }
};

/// Some kv heads of a few query tokens of one sequence.
struct AttendWork {
  std::int32_t sequence, first_head, kv_heads, first, count;
  std::vector<std::vector<PartialSums>> sums = {};  ///< [part][kv head]; empty: one thread sums all tokens
  std::int32_t parts_done = 0;
};

/// A work, or one part of its tokens.
struct AttendPiece {
  std::size_t work;
  std::int32_t part;  ///< -1: all
};

/// By sequence, up to 128 rows or 32 query tokens of a kv head, and kv heads. Where rows are few, kv heads stay
/// together as long as there is work for all threads: memory is read in long stretches then, twice as fast as in the
/// pieces that a single head has in each block. A few long sequences are cut into parts of their tokens.
/// `heads`: query heads of a kv head. Tokens from `token_end` on are nobody's.
[[nodiscard]] inline std::vector<AttendWork> share_out(std::vector<AttendSequence> const& sequences,
                                                       std::int32_t kv_heads, std::int32_t heads, int num_threads,
                                                       std::int32_t token_end) {
  auto const parts_of = [&](std::int32_t sequence) {
    return blocks_for(std::max(0, std::min(sequences[to_size(sequence)].num_tokens, token_end)), part_tokens);
  };
  std::int32_t const together = std::clamp(128 / heads, 1, 32), enough = num_threads > 1 ? 4 * num_threads : 1;
  std::vector<AttendWork> works;
  std::int32_t most = 0;
  std::int64_t num_parts = 0;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(sequences.size()); ++i) {
    std::int32_t const queries = sequences[to_size(i)].num_query_tokens;
    most = std::max(most, std::min(queries, together) * heads);
    for (std::int32_t some = 0; some < blocks_for(queries, together); ++some) {
      std::int32_t const first = some * together;
      works.push_back({i, 0, kv_heads, first, std::min(together, queries - first)});
      num_parts += parts_of(i);
    }
  }
  auto const num_works = static_cast<std::int64_t>(works.size());
  std::int64_t const pieces = std::max(std::int64_t{1}, num_works < enough ? num_parts : num_works);
  auto const by_pieces = static_cast<std::int32_t>(std::min<std::int64_t>(kv_heads * pieces / enough, kv_heads));
  std::int32_t const share = most > few_rows ? 1 : std::max(1, by_pieces);
  bool const in_parts = num_works * ((kv_heads + share - 1) / share) < enough;
  std::vector<AttendWork> shared;
  for (AttendWork& work : works)
    for (std::int32_t head = 0; head < kv_heads; head += share) {
      work.first_head = head;
      work.kv_heads = std::min(share, kv_heads - head);
      std::int32_t const parts = in_parts ? parts_of(work.sequence) : 0;
      shared.push_back(work);
      if (parts > 1) shared.back().sums.resize(to_size(parts), std::vector<PartialSums>(to_size(work.kv_heads)));
    }
  return shared;
}

[[nodiscard]] inline std::vector<AttendPiece> pieces_of(std::vector<AttendWork> const& works) {
  std::vector<AttendPiece> pieces;
  for (std::size_t i = 0; i < works.size(); ++i) {
    if (works[i].sums.empty()) pieces.push_back({i, -1});
    for (std::size_t part = 0; part < works[i].sums.size(); ++part)
      pieces.push_back({i, static_cast<std::int32_t>(part)});
  }
  return pieces;
}

}  // namespace folio::ops::detail
