// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One layer group's block table in a step: plain pointers and numbers. Host and device.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>

namespace folio {

/// One group's share of a step: where its blocks are, and which blocks each sequence has.
struct GroupTable {
  std::byte* pool = nullptr;  ///< block id * block_bytes begins a block
  /// [num_sequences][width] block ids, in the order of the tokens; after a sequence's end: the null block. With a
  /// window a row leaves out hidden_blocks of them after those of the sinks, and is as wide as the window at most.
  std::int32_t const* blocks = nullptr;
  /// [num_query_tokens] where each new token goes; -1: nowhere. Null: tokens are not appended to these blocks, such as
  /// those of what is demoted.
  std::int64_t const* slots = nullptr;
  std::int32_t width = 0;  ///< blocks in a row of the table
  GroupShape shape;
  std::int32_t const* lengths = nullptr;  ///< [num_sequences] tokens stored in the group; null: all of each sequence's
  /// [num_query_tokens] how many of its sequence's stored tokens each query sees, its own included; in a sequence they
  /// ascend. Null: the queries are the last tokens of their sequences. SequenceView::limit gives either.
  std::int32_t const* limits = nullptr;
};

/// How many blocks of a sequence a step has no use for: those between the sinks and the window of its first query,
/// which is at `first_query`, -1 before all tokens. A row of a block table leaves them out.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t hidden_blocks(GroupShape const& shape,
                                                                     std::int32_t first_query) {
  if (shape.window == 0) return 0;
  std::int32_t const hidden =
      shape.window_begin(first_query) / shape.block_size - blocks_for(shape.sinks, shape.block_size);
  return hidden > 0 ? hidden : 0;
}

}  // namespace folio
