// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The vocabulary: names for the numbers that are passed around. Host and device.

#include <concepts>
#include <cstdint>
#include <folio/config.hpp>
#include <type_traits>

namespace folio {

/// Block id: a physical block of one list's pool. 0 is the null block; usable ids are 1 to num_blocks.
enum class BlockId : std::int32_t {};

/// Sequence id, for logs: names a live sequence of one cache. A handle (folio::Sequence) owns; an id only names. After
/// a release a new sequence may have it, so log a number of your own besides, such as the request's.
enum class SequenceId : std::int32_t {};

/// Slot: a place for one token in one layer group's pool: block id * block size + offset in the block.
enum class Slot : std::int64_t {};

/// Token range: tokens [first, first + count) of sequence `sequence` of a batch, as the view numbers those that the
/// layer stores. These are their positions, but where Sequence::cut or keep took tokens out, and in the views of one
/// format of a cache that demotes, each of which numbers its own.
struct Tokens {
  std::int32_t sequence = 0, first = 0, count = 0;
};

/// As a number of tokens: every one that there is.
inline constexpr std::int32_t all_tokens = 0x7FFFFFFF;

/// Null block: what tables are padded with. It is never handed out, and it is zero, so reading it is harmless.
inline constexpr BlockId null_block{0};

/// A slot that is not written: padding of a slot mapping.
inline constexpr Slot no_slot{-1};

[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t to_int(BlockId id) { return static_cast<std::int32_t>(id); }
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t to_int(SequenceId id) { return static_cast<std::int32_t>(id); }
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t to_int(Slot slot) { return static_cast<std::int64_t>(slot); }

/// reinterpret_cast<T*> of memory that the caller knows to be aligned for T: users' -Wcast-align does not know it.
template <class T, class From>
[[nodiscard]] FOLIO_HOST_DEVICE T* aligned_cast(From* from) {
  using Void = std::conditional_t<std::is_const_v<From>, void const, void>;
  return static_cast<T*>(static_cast<Void*>(from));
}

/// The slot of offset `offset` in block `id`.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr Slot slot_of(BlockId id, std::int32_t offset, std::int32_t block_size) {
  return Slot{std::int64_t{to_int(id)} * block_size + offset};
}
[[nodiscard]] FOLIO_HOST_DEVICE constexpr BlockId block_of(Slot slot, std::int32_t block_size) {
  return BlockId{static_cast<std::int32_t>(to_int(slot) / block_size)};
}
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t offset_of(Slot slot, std::int32_t block_size) {
  return static_cast<std::int32_t>(to_int(slot) % block_size);
}

/// How many blocks `num_tokens` tokens fill, the last one perhaps partly.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t blocks_for(std::int32_t num_tokens, std::int32_t block_size) {
  return num_tokens / block_size + (num_tokens % block_size != 0 ? 1 : 0);
}

/// Block size (page size): how many tokens does a block hold? One size for all groups of layers, or one for each:
/// `BlockSizes<16, 64>`.
template <std::int32_t... Sizes>
struct BlockSizes {
  static constexpr int num_sizes = sizeof...(Sizes);
  static_assert(num_sizes > 0 && ((Sizes > 0) && ...), "folio: a block holds at least one token");

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t block_size(int group) {
    constexpr std::int32_t sizes[] = {Sizes...};
    return sizes[num_sizes == 1 ? 0 : group];
  }
};

/// The policy for one block size: `KvCache<BlockSize<16>, ...>`.
template <std::int32_t Size>
using BlockSize = BlockSizes<Size>;

template <class B>
concept BlockSizePolicy = requires {
  { B::num_sizes } -> std::convertible_to<int>;
}
&&requires(int group) {
  { B::block_size(group) } -> std::same_as<std::int32_t>;
};
static_assert(BlockSizePolicy<BlockSize<16>>);

/// Block copy: one block to copy over another.
struct BlockCopy {
  BlockId from{};
  BlockId to{};
};

}  // namespace folio
