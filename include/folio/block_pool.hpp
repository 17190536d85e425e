// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who owns which block: ids, reference counts and the free list of one group of layers. Host only, knows no bytes.

#include <algorithm>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace folio {

/// Block pool: reference-counted block ids 1 to num_blocks; 0 is the null block, which is never handed out.
///
/// Host only, not thread-safe: one owner thread. Every operation is O(1) per block and allocates no memory. The free
/// list is a stack, so the block released last is handed out first (its bytes are the likeliest to be in a CPU cache),
/// and two runs of the same calls give the same ids. Running out is a value; misuse is an Error that changes nothing.
///
/// Besides its holders a block can be cached: a prefix index has its contents and may want it again. A block without
/// holders that is cached is not free; it becomes free by `uncache`. While it is protected, a lease or a pin keeps the
/// index from evicting it.
/// The null block has no holders: retaining and releasing it changes nothing.
/// Always: num_free() + num_live() + num_cached() == num_blocks(), and num_evictable() <= num_cached().
class BlockPool {
 public:
  static constexpr std::int32_t max_blocks = 0x7ffffffe;

  /// Throws Error when no pool can have so many blocks.
  static void check_size(std::int64_t num_blocks) {
    if (num_blocks < 1 || num_blocks > max_blocks)
      throw Error("folio: a pool has 1 to 2147483646 blocks, not " + std::to_string(num_blocks));
  }

  /// All blocks free. Throws Error when `num_blocks` is not from 1 to max_blocks. Cost: 8 bytes per block.
  explicit BlockPool(std::int64_t num_blocks) {
    check_size(num_blocks);
    auto const n = static_cast<std::size_t>(num_blocks);
    ref_counts_.assign(n + 1, 0);
    free_.resize(n);
    for (std::size_t i = 0; i < n; ++i) free_[i] = static_cast<std::int32_t>(n - i);  // block 1 is handed out first
  }

  /// Of a group without layers: it has no blocks, and gives null blocks for nothing, as many as are asked for.
  BlockPool() : ref_counts_{1} {}  // so that the null block is nobody else's

  /// Takes in more free blocks after the others, or drops the last ones, all of which must be free: neither held nor
  /// cached. Throws Error, and changes nothing, when one is not, or the number is not from 1 to max_blocks;
  /// std::bad_alloc. Cost: O(blocks).
  void resize(std::int64_t num_blocks) {
    check_size(num_blocks);
    if (this->num_blocks() == 0) throw Error("folio: the pool of a group without layers has no blocks");
    auto const n = static_cast<std::int32_t>(num_blocks), before = this->num_blocks();
    for (std::int32_t id = n + 1; id <= before; ++id)
      if (ref_counts_[at(BlockId{id})] != 0)
        throw Error("folio: cannot make a pool of " + std::to_string(before) + " blocks one of " + std::to_string(n) +
                    ": block " + std::to_string(id) +
                    (is_cached(BlockId{id}) ? " is kept as a prefix; evict" : " is in use; release") +
                    " what holds the last blocks, or keep at least " + std::to_string(last_live()));
    ref_counts_.reserve(static_cast<std::size_t>(n) + 1);
    free_.reserve(static_cast<std::size_t>(n));
    ref_counts_.resize(static_cast<std::size_t>(n) + 1);  // into memory that is there, as all that follows
    if (n <= before) {
      free_.resize(static_cast<std::size_t>(
          std::remove_if(free_.begin(), free_.end(), [&](std::int32_t id) { return id > n; }) - free_.begin()));
      return;
    }
    // New ones go below the others, so that they are handed out last and the pool can shrink again.
    free_.resize(free_.size() + static_cast<std::size_t>(n - before));
    std::copy_backward(free_.begin(), free_.end() - (n - before), free_.end());
    for (std::int32_t id = n; id > before; --id) free_[static_cast<std::size_t>(n - id)] = id;
  }

  [[nodiscard]] std::int32_t num_blocks() const noexcept { return static_cast<std::int32_t>(ref_counts_.size() - 1); }
  [[nodiscard]] std::int32_t num_free() const noexcept { return static_cast<std::int32_t>(free_.size()); }
  /// Blocks that somebody holds.
  [[nodiscard]] std::int32_t num_live() const noexcept { return num_blocks() - num_free() - num_cached_; }
  /// Blocks that nobody holds and whose contents a prefix index keeps.
  [[nodiscard]] std::int32_t num_cached() const noexcept { return num_cached_; }
  /// Of the cached blocks, those that are not protected: what evicting everything that can go would free.
  [[nodiscard]] std::int32_t num_evictable() const noexcept { return num_cached_ - num_protected_; }
  /// Live blocks that more than one holder refers to.
  [[nodiscard]] std::int32_t num_shared() const noexcept { return num_shared_; }
  /// The most blocks that were ever live at once.
  [[nodiscard]] std::int32_t peak_live() const noexcept { return peak_live_; }
  /// Blocks handed out and given back since the beginning.
  [[nodiscard]] std::int64_t num_allocated() const noexcept { return num_allocated_; }
  [[nodiscard]] std::int64_t num_freed() const noexcept { return num_allocated_ - num_live() - num_cached_; }

  /// How many holders `block` has; 0 when it is free or only cached. Throws Error for an id that is not of this pool.
  [[nodiscard]] std::uint32_t ref_count(BlockId block) const {
    check_id(block);
    return ref_counts_[at(block)] & holders;
  }
  /// Whether anybody besides one holder counts on the contents of a live block: whoever writes to it must copy it.
  [[nodiscard]] bool is_shared(BlockId block) const noexcept { return ref_counts_[at(block)] != 1; }
  /// Whether a prefix index keeps the contents of `block`, which is of this pool.
  [[nodiscard]] bool is_cached(BlockId block) const noexcept { return (ref_counts_[at(block)] & cached) != 0; }
  /// Whether `block`, which is of this pool, has one holder, and besides at most a prefix index that can evict it.
  [[nodiscard]] bool has_one_holder_or_evictable(BlockId block) const noexcept {
    return (ref_counts_[at(block)] & (holders | protected_bit)) == 1;
  }

  /// A block with one holder, or nothing when none is free.
  [[nodiscard]] std::optional<BlockId> allocate() noexcept {
    BlockId block{};
    if (!allocate({&block, 1})) return std::nullopt;
    return block;
  }

  /// Fills `blocks` with blocks of one holder each, or, when fewer are free, returns false and takes none.
  [[nodiscard]] bool allocate(std::span<BlockId> blocks) noexcept {
    if (blocks.size() > free_.size()) {
      if (num_blocks() > 0) return false;
      std::fill(blocks.begin(), blocks.end(), null_block);
      return true;
    }
    std::int32_t const* top = free_.data() + free_.size();
    for (BlockId& block : blocks) {
      block = BlockId{*--top};
      ref_counts_[at(block)] = 1;
    }
    free_.resize(free_.size() - blocks.size());
    num_allocated_ += static_cast<std::int64_t>(blocks.size());
    peak_live_ = std::max(peak_live_, num_live());
    return true;
  }

  /// One more holder for `block`. Throws Error when it is free or not of this pool.
  void retain(BlockId block) {
    check_live(block, "retain");
    retain_live(block);
  }

  /// One holder less. True when it was the last, and the block is free again. Throws Error on a double release.
  bool release(BlockId block) {
    check_live(block, "release");
    return release_live(block);
  }

  /// One more holder for each block that is live and of this pool, which the caller knows: no checks, cannot fail.
  void retain_live(std::span<BlockId const> blocks) noexcept {
    for (BlockId const block : blocks) retain_live(block);
  }
  /// One holder less for each block that is live and of this pool, which the caller knows: no checks, cannot fail.
  void release_live(std::span<BlockId const> blocks) noexcept {
    for (BlockId const block : blocks) release_live(block);
  }

  void retain_live(BlockId block) noexcept {
    if (block == null_block) return;  // of a group without layers
    std::uint32_t const count = ++ref_counts_[at(block)];
    num_shared_ += (count & holders) == 2 ? 1 : 0;
    if ((count & holders) != 1) return;
    --num_cached_;  // nobody held it, so it was only cached
    num_protected_ -= (count & protected_bit) != 0 ? 1 : 0;
    peak_live_ = std::max(peak_live_, num_live());
  }

  bool release_live(BlockId block) noexcept {
    if (block == null_block) return false;
    std::uint32_t const left = --ref_counts_[at(block)];
    num_shared_ -= (left & holders) == 1 ? 1 : 0;
    if ((left & holders) != 0) return false;
    if (left == 0) {
      free_.push_back(to_int(block));  // never more than the capacity reserved by the constructor
      return true;
    }
    ++num_cached_;
    num_protected_ += (left & protected_bit) != 0 ? 1 : 0;
    return false;
  }

  /// A prefix index keeps the contents of `block`, which somebody holds and which was not cached. No checks.
  void cache_live(BlockId block) noexcept { ref_counts_[at(block)] |= cached; }
  /// The index lets go of `block`, which is cached. True when it is free now. No checks.
  bool uncache(BlockId block) noexcept {
    protect(block, false);
    std::uint32_t const left = ref_counts_[at(block)] &= holders;
    if (left > 0) return false;
    --num_cached_;
    free_.push_back(to_int(block));
    return true;
  }
  /// From now on the index can, or cannot, evict `block`, which is cached. No checks.
  void protect(BlockId block, bool is_protected) noexcept {
    std::uint32_t& count = ref_counts_[at(block)];
    if (((count & protected_bit) != 0) == is_protected) return;
    count ^= protected_bit;
    if ((count & holders) == 0) num_protected_ += is_protected ? 1 : -1;
  }

 private:
  /// The highest id in use, or 1.
  [[nodiscard]] std::int32_t last_live() const {
    std::int32_t id = num_blocks();
    while (id > 1 && ref_counts_[at(BlockId{id})] == 0) --id;
    return id;
  }
  static constexpr std::uint32_t cached = 0x80000000, protected_bit = 0x40000000, holders = 0x3fffffff;

  static std::size_t at(BlockId block) noexcept { return static_cast<std::size_t>(to_int(block)); }

  void check_id(BlockId block) const {
    if (to_int(block) < 1 || to_int(block) > num_blocks())
      throw Error("folio: block " + std::to_string(to_int(block)) + " is not of this pool, whose blocks are 1 to " +
                  std::to_string(num_blocks()));
  }
  void check_live(BlockId block, char const* verb) const {
    check_id(block);
    if ((ref_counts_[at(block)] & holders) == 0)
      throw Error(std::string("folio: cannot ") + verb + " block " + std::to_string(to_int(block)) +
                  ", which is free: it was released before, or never allocated");
  }

  std::vector<std::uint32_t> ref_counts_;  // by id, whether it is cached, and protected; [0], the null block's, stays
  std::vector<std::int32_t> free_;         // a stack
  std::int32_t num_shared_ = 0;
  std::int32_t num_cached_ = 0;
  std::int32_t num_protected_ = 0;  // of the cached ones
  std::int32_t peak_live_ = 0;
  std::int64_t num_allocated_ = 0;
};

}  // namespace folio
