// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where in a step's buffer each table is: it follows from sizes alone. Host only.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <limits>
#include <span>
#include <string>
#include <utility>

namespace folio {

/// Fixed sizes for tables that must not change shape from step to step (captured graphs). 0 or 1: as small as they can
/// be.
struct BatchPadding {
  std::int32_t num_sequences = 0;     ///< rows up to this number are empty: length 0, all blocks null
  std::int32_t num_query_tokens = 0;  ///< slots up to this number are -1: nothing is written
  std::int32_t num_tokens = 0;        ///< rows of block tables have room for sequences of this many tokens
  std::int32_t row_blocks = 1;        ///< rows of block tables are a multiple of this many blocks
  /// Room for a limit of each query, whether or not one of the step's items has positions or limits. Their queries may
  /// be far apart, so rows of groups with a window are as long as others then.
  bool has_limits = false;
};

/// Blocks in a row of a group's block table: of the longest one, which has `num_blocks`, and of the padding.
///
/// The padding has room for any sequence of padding.num_tokens tokens: with a window for the blocks of its sinks, and
/// those that hold the step's query tokens and the window before the first of them.
[[nodiscard]] inline std::int64_t row_width(GroupShape const& shape, BatchPadding const& padding,
                                            std::int32_t num_query_tokens, std::int64_t num_blocks) {
  if (shape.layers == 0) return 1;  // nobody reads it
  std::int64_t padded = blocks_for(padding.num_tokens, shape.block_size);
  if (shape.window > 0 && !padding.has_limits) {
    std::int64_t const seen = std::int64_t{shape.window} - 1 + num_query_tokens;
    padded = std::min(padded,
                      blocks_for(shape.sinks, shape.block_size) + (seen + shape.block_size - 2) / shape.block_size + 1);
  }
  std::int64_t const longest = std::max({std::int64_t{1}, padded, num_blocks});
  return padding.row_blocks <= 1 ? longest
                                 : (longest + padding.row_blocks - 1) / padding.row_blocks * padding.row_blocks;
}

/// Where in the buffer each array begins, in bytes, and how large they are.
struct TablePlaces {
  static constexpr std::int64_t none = -1;  ///< of an array that is not there

  /// One list's arrays, and blocks in a row of its block table. Only those that tokens are appended to have slots, and
  /// limits.
  struct List {
    std::int64_t blocks = 0, slots = none, lengths = 0, limits = none;
    std::int32_t width = 0;
  };

  std::int32_t num_sequences = 0, num_query_tokens = 0;
  bool has_limits = false;
  std::int64_t end_positions = 0, query_starts = 0;
  std::array<List, max_lists> lists;
  std::int64_t num_words = 2;  ///< of the buffer: query_starts has one entry from the start

  TablePlaces() = default;
  /// One width for each list, of which the first `num_groups` have slots, and limits. Throws Error for sizes that no
  /// memory could hold.
  TablePlaces(std::int64_t rows, std::int32_t query_tokens, bool with_limits, std::span<std::int64_t const> widths,
              int num_groups)
      : num_query_tokens(query_tokens), has_limits(with_limits) {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max(), most_bytes = std::int64_t{1} << 62;
    std::int64_t end = 0;
    auto const take = [&](std::int64_t count, std::int64_t each) {
      if (rows > most || count > (most_bytes - end) / each)
        throw Error("folio: the tables of a step of " + std::to_string(rows) + " sequences and " +
                    std::to_string(query_tokens) + " query tokens would take more than 2^62 bytes; make steps smaller");
      return std::exchange(end, end + count * each);
    };
    for (std::size_t l = 0; l < widths.size(); ++l) {
      if (widths[l] > most)
        throw Error("folio: a row of a block table has at most 2147483647 blocks, not " + std::to_string(widths[l]));
      lists[l].width = static_cast<std::int32_t>(widths[l]);
      lists[l].blocks = take(std::min(rows, most) * widths[l], 4);
    }
    end_positions = take(rows, 4);
    for (std::size_t l = 0; l < widths.size(); ++l) lists[l].lengths = take(rows, 4);
    query_starts = take(rows + 1, 4);
    for (std::size_t g = 0; has_limits && g < static_cast<std::size_t>(num_groups); ++g)
      lists[g].limits = take(query_tokens, 4);
    end = (end + 7) / 8 * 8;  // slots have 8 bytes
    for (std::size_t g = 0; g < static_cast<std::size_t>(num_groups); ++g) lists[g].slots = take(query_tokens, 8);
    num_sequences = static_cast<std::int32_t>(rows);
    num_words = end / 4;
  }

  /// Whether they are those that the constructor makes of these sizes and as many groups.
  [[nodiscard]] bool are_of(std::int64_t rows, std::int32_t query_tokens, bool with_limits,
                            std::span<std::int64_t const> widths) const {
    bool same = rows == num_sequences && query_tokens == num_query_tokens && with_limits == has_limits;
    for (std::size_t l = 0; same && l < widths.size(); ++l) same = widths[l] == lists[l].width;
    return same;
  }
};

}  // namespace folio
