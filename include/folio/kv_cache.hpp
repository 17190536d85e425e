// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The owner: KvCache<Policies...> ties the rooms together and hands out sequences, step tables and views. Host only.

#include <array>
#include <cstring>
#include <folio/batch.hpp>
#include <folio/capacity.hpp>
#include <folio/error.hpp>
#include <folio/observe/stats.hpp>
#include <folio/ops/copy_blocks.hpp>
#include <folio/policy_set.hpp>
#include <folio/sequence.hpp>
#include <folio/view.hpp>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// What is known only at run time. Give either `memory_bytes` or `num_blocks`.
struct CacheConfig {
  std::int64_t memory_bytes = 0;              ///< budget for all groups' blocks; the cache takes what fits
  std::vector<std::int64_t> num_blocks = {};  ///< blocks of each layer group, besides its null block
  std::int32_t layers = 0;                    ///< where the ModelConfig leaves it dynamic
  std::int32_t kv_heads = 0;                  ///< likewise
  std::int32_t window = 0;                    ///< likewise, for every group whose window is dynamic
  std::int32_t tokens_per_sequence = 0;       ///< a hint: splits the budget between full and window groups
};

// clang-format off
/// A paged KV cache for one model: memory in blocks, block tables, and views for kernels.
///
/// Policies are given in any order and recognised by their concepts; one of each kind at most:
///
///   Model<config>    what is cached                     no default
///   BlockSize<n>     tokens in a block                  BlockSize<16>   (BlockSizes<16, 64>: one for each layer group)
///   a quantizer      how an element is stored           F16             (Keys<Q>, Values<Q>: each its own)
///   a layout         where in a block an element is     LayoutHnd
///   an allocator     where a block's bytes come from    HostAllocator
///
/// Host only, not thread-safe: one owner thread; the ops share their own work over threads. All blocks are allocated at
/// once by the constructor. Movable; sequences and batches keep the memory alive and may outlive this object.
// clang-format on
template <class... Policies>
class KvCache {
  using Set = PolicySet<Policies...>;
  static_assert(
      Set::template count<PolicyKind::unknown> == 0,
      "folio::KvCache: a template argument is no policy: it meets none of ModelPolicy, BlockSizePolicy, "
      "QuantizerPolicy, LayoutPolicy and AllocatorPolicy; static_assert the one you mean to see what is missing");
  static_assert(Set::has_model, "folio::KvCache: which model is cached? Add folio::Model<config>");
  static_assert(Set::template count<PolicyKind::model> <= 1, "folio::KvCache: two models are given; keep one");
  static_assert(
      Set::template count<PolicyKind::block_size> <= 1,
      "folio::KvCache: two block sizes are given; keep one, or write BlockSizes<a, b> for one per layer group");
  static_assert(Set::template count<PolicyKind::quantizer> <= 1,
                "folio::KvCache: two quantizers are given; keep one, or write Keys<A> and Values<B>");
  static_assert(Set::template count<PolicyKind::keys> <= 1 && Set::template count<PolicyKind::values> <= 1,
                "folio::KvCache: Keys<> or Values<> is given twice; keep one of each");
  static_assert(
      !Set::has_idle_quantizer,
      "folio::KvCache: a quantizer is given beside Keys<> and Values<>, which leave it nothing to store; remove it");
  static_assert(Set::template count<PolicyKind::layout> <= 1, "folio::KvCache: two layouts are given; keep one");
  static_assert(Set::template count<PolicyKind::allocator> <= 1, "folio::KvCache: two allocators are given; keep one");

 public:
  using ModelType = typename Set::ModelType;
  using Blocks = typename Set::Blocks;
  using KeyQuantizer = typename Set::KeyQuantizer;
  using ValueQuantizer = typename Set::ValueQuantizer;
  using Layout = typename Set::Layout;
  using Allocator = typename Set::Allocator;
  using View = BlockTableView<ModelType, Blocks, KeyQuantizer, ValueQuantizer, Layout>;
  using Map = BlockMap<KeyQuantizer, ValueQuantizer, Layout>;

  static constexpr ModelConfig model = ModelType::config;
  static constexpr int num_groups = model.num_groups();
  static_assert(problem_of(model) == nullptr,
                "folio::KvCache: the ModelConfig is not valid; folio::problem_of(config) says what is wrong with it");
  static_assert(Blocks::num_sizes == 1 || Blocks::num_sizes == num_groups,
                "folio::KvCache: BlockSizes<...> needs one size, or one for each layer group of the model");
  static_assert(
      latent_fits_rotation<KeyQuantizer>(model),
      "folio::KvCache: the values of a latent layer are the beginning of its keys, and this quantizer rotates "
      "both in blocks that cross their border; take one that does not rotate");

  /// Allocates all blocks. Throws Error for a config that does not fit the model, names what is missing, or has too
  /// small a budget; OutOfMemory when the allocator has not enough.
  explicit KvCache(CacheConfig const& config, Allocator allocator = Allocator())
      : core_(std::make_shared<Core>(resolve(config), config, std::move(allocator))) {}

  /// A new sequence without tokens.
  [[nodiscard]] Sequence create() { return {core_, core_->store, core_->store.create()}; }

  /// A new sequence with slots for `num_tokens` tokens. Throws OutOfBlocks, and changes nothing, when they are not
  /// there.
  [[nodiscard]] Sequence create(std::int32_t num_tokens) {
    Sequence sequence = create();
    sequence.append(num_tokens);
    return sequence;
  }

  /// The tables of a step over these sequences, in this order. Throws Error as BatchTables::fill does.
  [[nodiscard]] Batch<View> batch(std::span<BatchItem const> items, BatchPadding const& padding = {}) const {
    Batch<View> tables(core_, core_->pools(), core_->shapes);
    tables.fill(core_->store, items, padding);
    return tables;
  }
  [[nodiscard]] Batch<View> batch(std::initializer_list<BatchItem> items, BatchPadding const& padding = {}) const {
    return batch(std::span(items.begin(), items.size()), padding);
  }
  /// The same into an existing batch of this cache, whose memory is used again.
  void batch(std::span<BatchItem const> items, Batch<View>& tables, BatchPadding const& padding = {}) const {
    tables.fill(core_->store, items, padding);
  }
  void batch(std::initializer_list<BatchItem> items, Batch<View>& tables, BatchPadding const& padding = {}) const {
    batch(std::span(items.begin(), items.size()), tables, padding);
  }

  /// Gauges and counters. Cost: O(sequences * log).
  [[nodiscard]] Stats stats() const {
    std::vector<std::int64_t> bytes;
    for (int g = 0; g < num_groups; ++g) bytes.push_back(block_bytes(g));
    return collect_stats(core_->store, bytes);
  }

  [[nodiscard]] GroupShape const& shape(int group = 0) const {
    return core_->shapes.at(static_cast<std::size_t>(group));
  }
  [[nodiscard]] std::int64_t num_blocks(int group = 0) const { return core_->store.pool(group).num_blocks(); }
  [[nodiscard]] std::int64_t num_free_blocks(int group = 0) const { return core_->store.pool(group).num_free(); }
  [[nodiscard]] std::int64_t block_bytes(int group = 0) const { return Map{shape(group)}.block_bytes(); }
  /// Bytes of all blocks of all groups, the null blocks included.
  [[nodiscard]] std::int64_t memory_bytes() const {
    std::int64_t sum = 0;
    for (auto const& memory : core_->memory) sum += memory.bytes;
    return sum;
  }
  /// Bytes that a token takes in all layers, padding of blocks included; an average where blocks do not divide evenly.
  [[nodiscard]] double bytes_per_token() const {
    double sum = 0;
    for (int g = 0; g < num_groups; ++g) sum += static_cast<double>(block_bytes(g)) / shape(g).block_size;
    return sum;
  }
  /// Bytes of the blocks that a sequence of `num_tokens` tokens, grown token by token, holds at the most.
  [[nodiscard]] std::int64_t bytes_per_sequence(std::int32_t num_tokens) const {
    std::int64_t sum = 0;
    for (int g = 0; g < num_groups; ++g) sum += most_blocks_held(shape(g), num_tokens) * block_bytes(g);
    return sum;
  }
  /// The address of block 0 of a group, the null block; block b is block_bytes(group) * b further.
  [[nodiscard]] std::byte* pool(int group = 0) const {
    return core_->memory.at(static_cast<std::size_t>(group)).bytes_begin;
  }
  [[nodiscard]] Allocator const& allocator() const { return core_->allocator; }

  /// The shapes of all groups with the run-time numbers filled in. Throws Error when one is missing or contradicts the
  /// model. For planning without a cache.
  [[nodiscard]] static std::vector<GroupShape> resolve(CacheConfig const& config) {
    ModelConfig whole = model;
    fill_in(whole.layers, config.layers, "layers");
    if (needs_kv_heads()) fill_in(whole.kv_heads, config.kv_heads, "kv_heads");
    bool open_window = false;
    for (int g = 0; g < num_groups; ++g) {
      LayerGroup& group = whole.groups[g];
      if (group.window != dynamic) continue;
      fill_in(group.window, config.window, "window");
      open_window = true;
    }
    if (config.window != 0 && !open_window)
      throw Error("folio: CacheConfig gives a window of " + std::to_string(config.window) +
                  ", but no window of the model is dynamic; leave it 0");
    std::vector<GroupShape> shapes;
    for (int g = 0; g < num_groups; ++g) {
      shapes.push_back(group_shape(whole, g, Blocks::block_size(g)));
      if (shapes.back().layers == 0)
        throw Error("folio: of " + std::to_string(whole.layers) + " layers none is in group " + std::to_string(g) +
                    " of the model's pattern; give as many layers as the pattern is long, or fewer groups");
    }
    return shapes;
  }

 private:
  struct Memory {
    std::byte* bytes_begin = nullptr;
    std::int64_t bytes = 0;
  };

  /// Everything that sequences and batches keep alive.
  struct Core {
    Core(std::vector<GroupShape> s, CacheConfig const& config, Allocator a)
        : shapes(std::move(s)), allocator(std::move(a)), store(shapes, num_blocks(config), {this, &copy_block}) {
      memory.reserve(shapes.size());  // so that nothing can fail between an allocation and its entry
      for (int g = 0; g < num_groups; ++g) allocate(g);
    }
    Core(Core const&) = delete;
    Core& operator=(Core const&) = delete;
    ~Core() { free_all(); }

    [[nodiscard]] std::int64_t block_bytes(int g) const {
      return Map{shapes[static_cast<std::size_t>(g)]}.block_bytes();
    }

    [[nodiscard]] std::vector<std::int64_t> num_blocks(CacheConfig const& config) const {
      std::vector<std::int64_t> bytes;
      for (int g = 0; g < num_groups; ++g) bytes.push_back(block_bytes(g));
      if ((config.memory_bytes != 0) == !config.num_blocks.empty())
        throw Error("folio: CacheConfig needs either memory_bytes or num_blocks, and not both");
      if (config.num_blocks.empty())
        return blocks_that_fit(shapes, bytes, config.memory_bytes, config.tokens_per_sequence);
      if (config.num_blocks.size() != shapes.size())
        throw Error("folio: CacheConfig::num_blocks has " + std::to_string(config.num_blocks.size()) +
                    " entries; the model has " + std::to_string(shapes.size()) + " layer groups, which need one each");
      return config.num_blocks;
    }

    void allocate(int g) {
      std::int64_t const bytes = (std::int64_t{store.pool(g).num_blocks()} + 1) * block_bytes(g);
      try {
        memory.push_back({allocator.allocate(bytes, Map::block_alignment), bytes});
      } catch (...) {
        free_all();
        throw;
      }
      // Tables are padded with the null block, so what is read there must be finite.
      std::memset(memory.back().bytes_begin, 0, static_cast<std::size_t>(block_bytes(g)));
    }

    void free_all() noexcept {
      for (Memory const& m : memory) allocator.deallocate(m.bytes_begin, m.bytes);
      memory.clear();
    }

    [[nodiscard]] std::array<std::byte*, std::size_t{num_groups}> pools() const {
      std::array<std::byte*, std::size_t{num_groups}> begins{};
      for (std::size_t g = 0; g < begins.size(); ++g) begins[g] = memory[g].bytes_begin;
      return begins;
    }

    static void copy_block(void* owner, int g, BlockId from, BlockId to) noexcept {
      auto const& core = *static_cast<Core const*>(owner);
      std::byte* const begin = core.memory[static_cast<std::size_t>(g)].bytes_begin;
      ops::BlockCopy const copy{from, to};
      ops::copy_blocks(begin, begin, core.block_bytes(g), {&copy, 1});
    }

    std::vector<GroupShape> shapes;
    Allocator allocator;
    std::vector<Memory> memory;
    SequenceStore store;
  };

  /// Latent groups have one head of their own; the model's number is for the others.
  [[nodiscard]] static constexpr bool needs_kv_heads() {
    for (int g = 0; g < num_groups; ++g)
      if (model.groups[g].kv_heads == 0) return true;
    return false;
  }

  static void fill_in(std::int32_t& of_model, std::int32_t given, char const* name) {
    if (of_model == dynamic && given < 1)
      throw Error(std::string("folio: the model leaves ") + name + " dynamic: give CacheConfig::" + name +
                  ", at least 1");
    if (of_model != dynamic && given != 0 && given != of_model)
      throw Error(std::string("folio: CacheConfig::") + name + " is " + std::to_string(given) +
                  ", but the model says " + std::to_string(of_model) + "; leave it 0");
    if (of_model == dynamic) of_model = given;
  }

  std::shared_ptr<Core> core_;
};

}  // namespace folio
