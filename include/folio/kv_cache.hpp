// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The owner: KvCache<Policies...> ties the rooms together and hands out sequences, step tables and views. Host only.

#include <algorithm>
#include <folio/batch.hpp>
#include <folio/cache_config.hpp>
#include <folio/capacity.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/block_memory.hpp>
#include <folio/detail/cache_sizes.hpp>
#include <folio/detail/cache_state.hpp>
#include <folio/detail/policy_set.hpp>
#include <folio/error.hpp>
#include <folio/observe/stats.hpp>
#include <folio/prefix/prefix_index.hpp>
#include <folio/sequence.hpp>
#include <folio/view.hpp>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

namespace detail {

template <bool, class Eviction, class Events>
struct PrefixIndexOf {
  using type = int;  // none
};
template <class Eviction, class Events>
struct PrefixIndexOf<true, Eviction, Events> {
  using type = PrefixIndex<Eviction, Events>;
};

}  // namespace detail

// clang-format off
/// A paged KV cache for one model: memory in blocks, block tables, and views for kernels.
///
/// Policies are given in any order and recognised by their concepts; one of each kind at most:
///
///   Model<config>    what is cached                     no default
///   BlockSize<n>     tokens in a block                  BlockSize<16>   (BlockSizes<16, 64>: one for each layer group)
///   a quantizer      how an element is stored           F16             (Keys<Q>, Values<Q>: each its own;
///                                                                        Formats<Q, R>: one for each layer group)
///   a layout         where in a block an element is     LayoutHnd
///   an allocator     where a block's bytes come from    HostAllocator
///   an eviction      which prefix goes when memory is   none: prefixes are not kept
///                    short; and so, that prefixes are
///                    kept, and found by later prompts
///   an event sink    who hears what is kept and evicted NoEvents
///   a demotion       what older tokens are demoted to   NoDemotion     (Demote<Int4Rotated>: folio/precision/demote.hpp)
///   a basis          which basis all rows are in        ModelBasis     (RotationMatrices: folio/precision/rotated_ops.hpp)
///
/// Host only, not thread-safe: one owner thread; the ops share their own work over threads. All blocks are allocated at
/// once by the constructor. Movable; sequences and batches keep the memory alive and may outlive this object.
// clang-format on
template <class... Policies>
class KvCache : public PolicySet<Policies...>::Demotion::template Operations<KvCache<Policies...>> {
  using Set = PolicySet<Policies...>;
  static_assert(Set::template count<PolicyKind::unknown> == 0,
                "folio::KvCache: a template argument is no policy: it meets none of ModelPolicy, BlockSizePolicy, "
                "QuantizerPolicy, LayoutPolicy, AllocatorPolicy, EvictionPolicy, EventSink, DemotionPolicy and "
                "BasisPolicy; "
                "static_assert the one you mean to see what is missing");
  static_assert(Set::has_model, "folio::KvCache: which model is cached? Add folio::Model<config>");
  static_assert(Set::template count<PolicyKind::model> <= 1, "folio::KvCache: two models are given; keep one");
  static_assert(sizeof(detail::CheckFormat<Set>) > 0);
  static_assert(Set::template count<PolicyKind::allocator> <= 1, "folio::KvCache: two allocators are given; keep one");
  static_assert(Set::template count<PolicyKind::eviction> <= 1,
                "folio::KvCache: two eviction policies are given; keep one");
  static_assert(Set::template count<PolicyKind::events> <= 1, "folio::KvCache: two event sinks are given; keep one");
  static_assert(Set::template count<PolicyKind::demotion> <= 1, "folio::KvCache: Demote<> is given twice; keep one");
  static_assert(Set::template count<PolicyKind::basis> <= 1, "folio::KvCache: two bases are given; keep one");
  static_assert(Set::has_prefixes || Set::template count<PolicyKind::events> == 0,
                "folio::KvCache: an event sink is given and no eviction policy, so no prefixes are kept and it would "
                "hear nothing; add a policy, such as folio::LruEviction");

 public:
  using ModelType = typename Set::ModelType;
  using Blocks = typename Set::Blocks;
  using KeyQuantizer = typename Set::KeyQuantizer;
  using ValueQuantizer = typename Set::ValueQuantizer;
  using Layout = typename Set::Layout;
  using Allocator = typename Set::Allocator;
  using Eviction = typename Set::Eviction;
  using Events = typename Set::Events;
  static constexpr bool has_prefixes = Set::has_prefixes;
  using Demotion = typename Set::Demotion;
  static constexpr bool has_demotion = Demotion::demotes;
  using BasisOfRows = typename Set::BasisOfRows;
  /// The view of a step: a BlockTableView; where tokens are demoted, a MixedPrecisionView of two of them.
  using View =
      typename Demotion::template ViewOf<BlockTableView<ModelType, Blocks, KeyQuantizer, ValueQuantizer, Layout>,
                                         Blocks>;
  /// What a step's batch gives: View; where matrices rotate the rows, a RotatedView of it.
  using StepView = typename BasisOfRows::template ViewOf<View>;
  /// The bytes of a block of layer group `Group`: Map<0>{cache.shape(0)}.
  template <int Group>
  using Map = BlockMap<FormatIn<KeyQuantizer, Group>, FormatIn<ValueQuantizer, Group>, Layout>;

  static constexpr ModelConfig model = ModelType::config;
  static constexpr int num_groups = model.num_groups(), num_lists = View::num_lists;
  static_assert(problem_of(model) == nullptr,
                "folio::KvCache: the ModelConfig is not valid; folio::problem_of(config) says what is wrong with it");
  static_assert(Blocks::num_sizes == 1 || Blocks::num_sizes == num_groups,
                "folio::KvCache: BlockSizes<...> needs one size, or one for each layer group of the model");
  static_assert(
      latent_fits_rotation<KeyQuantizer, model>(),
      "folio::KvCache: the values of a latent layer are the beginning of its keys, and this quantizer rotates "
      "both in blocks that cross their border; take one that does not rotate");

  /// Allocates all blocks, and then what keeps account of them. Throws Error for a config that does not fit the model,
  /// names what is missing, or has a budget that is too small or more than there can be; OutOfMemory when the allocator
  /// has not enough.
  ///
  /// `policies`: objects of the cache's allocator, eviction policy and event sink, in any order, where they have state.
  /// What is not given is made by its default constructor.
  template <class... Given>
  requires(Set::template has_object<Given>&&...) explicit KvCache(CacheConfig const& config, Given... policies)
      : core_(std::make_shared<Core>(sizes(config), config, policies...)) {
    static_assert((... && detail::is_once<Given, Given...>),
                  "folio::KvCache: two objects of one policy are given to the constructor; keep one");
  }

  /// A new sequence without tokens.
  [[nodiscard]] Sequence create() {
    SequenceState& state = core_->store.create();
    if constexpr (has_prefixes) state.prefix = core_->index->lease();
    return {core_, core_->store, state};
  }

  /// A new sequence with slots for `num_tokens` tokens. Throws OutOfBlocks, and changes nothing, when they are not
  /// there.
  [[nodiscard]] Sequence create(std::int32_t num_tokens) {
    Sequence sequence = create();
    sequence.extend(num_tokens);
    return sequence;
  }

  /// A sequence that begins with the tokens of `prompt` that the cache has: num_tokens() of them need no computing, at
  /// most all but the last one, and at most `most`: what every rank of a group has, for example. What was found is held
  /// from here on. Extend by the rest: the use counts when that succeeds, once, however often a request must wait.
  /// Cost: comparing the tokens, O(1) for each turn that the prompt shares with others, and a copy of the block ids.
  /// What the sequence and its forks leave in the cache counts for `tenant`. Throws Error for a `most` below 0.
  [[nodiscard]] Sequence create(Prefix const& prompt, std::int32_t tenant = 0, std::int32_t most = all_tokens) {
    auto& index = prefixes();
    std::int32_t const limit = most_found(prompt, most);
    SequenceState& state = core_->store.create();
    try {
      state.prefix = index.lease();
      state.prefix.tenant = tenant;
      index.take(index.find(prompt.scope, prompt.symbols, limit), state, prompt);
    } catch (...) {
      core_->store.discard(state);
      throw;
    }
    return {core_, core_->store, state};
  }

  /// Keeps the whole blocks of a sequence for later prompts; `tokens` says what its first tokens are, whose keys and
  /// values must be written (or launched to be, where steps run on a stream). Best when a prompt has been computed, and
  /// again when its answer is there: with a window, what has left it since cannot be kept. After Sequence::cut or keep
  /// at most the first num_exact_tokens() are kept; more in `tokens` are no error. Where the cache has the same prefix
  /// already, the sequence takes those blocks and gives its own back: make the step's batch after that. Returns how
  /// many tokens are kept now; 0 for a sequence that was created before the tree was last cleared. Throws Error when
  /// `tokens` are more than the sequence's num_tokens(); std::bad_alloc.
  std::int32_t insert(Sequence& sequence, Prefix const& tokens) {
    if (sequence.store() != &core_->store) throw Error("folio: insert needs a sequence of this cache");
    if (tokens.size() > sequence.num_tokens())
      throw Error("folio: cannot insert " + std::to_string(tokens.size()) + " tokens of a sequence that has " +
                  std::to_string(sequence.num_tokens()));
    return prefixes().insert(sequence.own_state(), tokens.scope, tokens.symbols);
  }

  /// Lets the tree evict what `sequence` found or inserted, as any other prefix. The sequence keeps its blocks.
  void release_lease(Sequence& sequence) {
    if (sequence.store() != &core_->store) throw Error("folio: release_lease needs a sequence of this cache");
    static_cast<void>(prefixes());
    sequence.own_state().prefix.release_lease();
  }

  /// How many tokens of `prompt` create() would find now. Changes nothing, and counts as no use: for a request that
  /// waits.
  [[nodiscard]] std::int32_t num_cached_tokens(Prefix const& prompt, std::int32_t most = all_tokens) const {
    return prefixes().find(prompt.scope, prompt.symbols, most_found(prompt, most)).num_tokens;
  }

  /// What tenants have in the index of prefixes and in their sequences. Cost: O(blocks of both).
  [[nodiscard]] PrefixGauges prefix_gauges() const { return prefixes().gauges(core_->store.states()); }

  /// The index of prefixes: its clock, its counters, pins, clearing. Of a cache that is const only what changes
  /// nothing.
  [[nodiscard]] auto& prefixes() { return index_of(*core_); }
  [[nodiscard]] auto const& prefixes() const { return index_of(*core_); }

  /// The tables of a step over these sequences, in this order, and the block copies that wait for a step. Throws Error
  /// as BatchTables::fill does.
  [[nodiscard]] Batch<StepView> batch(std::span<BatchItem const> items, BatchPadding const& padding = {}) {
    Batch<StepView> tables(core_);
    batch(items, tables, padding);
    return tables;
  }
  [[nodiscard]] Batch<StepView> batch(std::initializer_list<BatchItem> items, BatchPadding const& padding = {}) {
    return batch(std::span(items.begin(), items.size()), padding);
  }
  /// The same into an existing batch of this cache, whose memory is used again.
  void batch(std::span<BatchItem const> items, Batch<StepView>& tables, BatchPadding const& padding = {}) {
    static_assert(host_can_read<Allocator>,
                  "folio: the blocks of this cache are in memory that the host cannot read: make a DeviceBatch "
                  "(folio/device_batch.cuh) and upload it");
    if (!tables.is_of(*core_)) throw Error("folio: this batch is of another cache; make one with KvCache::batch");
    tables.fill(core_->store, items, padding);
    core_->flush();
  }
  void batch(std::initializer_list<BatchItem> items, Batch<StepView>& tables, BatchPadding const& padding = {}) {
    batch(std::span(items.begin(), items.size()), tables, padding);
  }

  /// Makes the pool of a layer group, or of what it demotes (second_list), larger or smaller, without moving a block:
  /// for allocators that can, such as VirtualAllocator. New blocks are handed out last. Throws Error, and changes
  /// nothing, when a block that would go is in use, or is to be copied by the next upload; OutOfMemory when there is
  /// not enough. Before a pool is made smaller, steps that are still running must have ended: they may read blocks that
  /// have been released since.
  void resize(std::int64_t num_blocks, int list = 0) {
    static_assert(ResizableAllocator<Allocator>,
                  "folio: this cache's allocator cannot resize its memory in place; use VirtualAllocator, or give one "
                  "`void resize(std::byte* pointer, std::int64_t old_bytes, std::int64_t new_bytes)`");
    check_list(list, num_lists, num_groups);
    core_->resize(list, num_blocks);
  }

  /// Gauges and counters. Cost: O(sequences * log).
  [[nodiscard]] Stats stats() const {
    Stats stats = collect_stats(core_->store, core_->block_bytes);
    if constexpr (has_prefixes) stats.prefixes = core_->index->counters();
    return stats;
  }

  // Of a layer group's pool; or of the pool of what it demotes, by its second_list.
  [[nodiscard]] GroupShape const& shape(int list = 0) const { return core_->shapes[checked(list)]; }
  [[nodiscard]] std::int64_t num_blocks(int list = 0) const { return block_pool(list).num_blocks(); }
  [[nodiscard]] std::int64_t num_free_blocks(int list = 0) const { return block_pool(list).num_free(); }
  /// Blocks that sequences hold.
  [[nodiscard]] std::int64_t num_live_blocks(int list = 0) const { return block_pool(list).num_live(); }
  /// Blocks that no sequence holds, and whose contents the index of prefixes keeps. Free, live and cached are all.
  [[nodiscard]] std::int64_t num_cached_blocks(int list = 0) const { return block_pool(list).num_cached(); }
  /// Blocks that can be had now: those that are free, and those of prefixes that nobody needs. For admission by
  /// budgets; whether one extension succeeds says Sequence::can_extend. O(1).
  [[nodiscard]] std::int64_t num_obtainable_blocks(int list = 0) const {
    return core_->store.num_obtainable(static_cast<int>(checked(list)));
  }
  [[nodiscard]] std::int64_t block_bytes(int list = 0) const { return core_->block_bytes[checked(list)]; }
  /// Bytes of all blocks of all lists, the null blocks included.
  [[nodiscard]] std::int64_t memory_bytes() const {
    std::int64_t sum = 0;
    for (std::int64_t const bytes : core_->pool_bytes) sum += bytes;
    return sum;
  }
  /// Bytes that a token takes in all layers, padding of blocks included; an average where blocks do not divide evenly.
  /// Of a token that is not demoted.
  [[nodiscard]] double bytes_per_token() const {
    double sum = 0;
    for (int g = 0; g < num_groups; ++g) sum += static_cast<double>(block_bytes(g)) / shape(g).block_size;
    return sum;
  }
  /// Bytes of the blocks that a sequence of `num_tokens` tokens, grown token by token, holds at the most. Throws Error
  /// for a negative number.
  [[nodiscard]] std::int64_t bytes_per_sequence(std::int32_t num_tokens) const {
    std::int64_t sum = 0;
    for (int l = 0; l < num_lists; ++l)
      sum = add_bytes(sum,
                      bytes_of(most_blocks_held(core_->store.demotion().shape_held(shape(l), l, core_->recent_window),
                                                num_tokens, std::int64_t{1} + core_->store.slack()),
                               block_bytes(l)));
    return sum;
  }
  /// The group of each layer.
  [[nodiscard]] LayerPattern const& pattern() const { return core_->pattern; }
  /// The address of block 0 of a list's pool, the null block; block b is block_bytes(list) * b further.
  [[nodiscard]] std::byte* pool(int list = 0) const { return core_->pools[checked(list)]; }
  [[nodiscard]] Allocator const& allocator() const { return core_->allocator; }
  /// The block copies that wait for a step, to which a lower tier adds moves out. As long-lived as the cache's memory.
  [[nodiscard]] BlockMoves& moves() { return *core_; }
  /// The block lists and addresses that batches are made from, to be read.
  [[nodiscard]] std::shared_ptr<CacheState const> state() const { return core_; }

  /// What a cache of this config would have of each list: shapes, blocks and their bytes. For planning without a cache.
  /// Throws Error as the constructor does.
  [[nodiscard]] static CacheSizes sizes(CacheConfig const& config) { return CacheSizes::of<KvCache>(config); }
  /// The shapes of all groups with the run-time numbers filled in. Throws Error when one is missing or contradicts the
  /// model. For planning without a cache.
  [[nodiscard]] static std::vector<GroupShape> resolve(CacheConfig const& config) {
    return resolved_shapes(resolve_model(model, config), &Blocks::block_size);
  }

 private:
  template <class>
  friend class DeviceBatch;  // device_batch.cuh: does the block copies that wait for a step
  friend typename Set::Demotion::template Operations<KvCache>;

  /// Everything that sequences and batches keep alive: the memory, and then the state, whose tables may be large, too.
  struct Core final : BlockMemory<Allocator>, CacheState {
    template <class... Given>
    Core(CacheSizes sizes, CacheConfig const& config, Given&... given)
        : BlockMemory<Allocator>(detail::given_or_default<Allocator>(given...), sizes.pool_bytes, block_alignment),
          CacheState(std::move(sizes.shapes), as_span(sizes.num_blocks), std::move(sizes.block_bytes), sizes.slack,
                     sizes.demotion),
          basis(detail::given_or_default<BasisOfRows>(given...)) {
      pattern = sizes.pattern;
      recent_window = sizes.recent_window;
      pools = this->begins;
      if constexpr (BasisOfRows::rotates) {
        static_assert(BasisOfRows::fits(model),
                      "folio::RotationMatrices: the values of a latent layer are the beginning of its keys, which a "
                      "matrix mixes");
        basis.check_fits(as_span(shapes), pattern);
        rotation = &basis;
      }
      defers_copies = device_can_read<Allocator>;
      if (!defers_copies) flush();
      if constexpr (has_prefixes) {
        index = std::make_unique<Index>(store.pools(), block_bytes, config.key_secret.value_or(KeySecret::random()),
                                        detail::given_or_default<Eviction>(given...),
                                        detail::given_or_default<Events>(given...));
        if (Index::evicts) store.set_reclaimer(index.get());
      }
    }

    [[nodiscard]] std::int64_t bytes_for(int l, std::int64_t num_blocks) const {
      return bytes_of(num_blocks + 1, block_bytes[static_cast<std::size_t>(l)]);  // the null block besides
    }

    void resize(int l, std::int64_t num_blocks) requires ResizableAllocator<Allocator> {
      std::int64_t const before = store.pool(l).num_blocks();
      std::int64_t& bytes = this->pool_bytes[static_cast<std::size_t>(l)];
      check_no_move_after(l, num_blocks);
      store.pool(l).resize(num_blocks);  // throws when blocks are in use: before memory goes
      try {
        this->allocator.resize(pools[static_cast<std::size_t>(l)], bytes, bytes_for(l, num_blocks));
      } catch (...) {
        store.pool(l).resize(before);
        throw;
      }
      bytes = bytes_for(l, num_blocks);
    }

    using Index = typename detail::PrefixIndexOf<has_prefixes, Eviction, Events>::type;

    [[no_unique_address]] BasisOfRows basis;
    std::unique_ptr<Index> index;  // null without prefixes
  };

  static std::size_t checked(int list) {
    check_list(list, num_lists, num_groups);
    return static_cast<std::size_t>(list);
  }
  [[nodiscard]] BlockPool const& block_pool(int list) const {
    check_list(list, num_lists, num_groups);
    return core_->store.pool(list);
  }

  template <class AnyCore>
  [[nodiscard]] static auto& index_of(AnyCore& core) {
    static_assert(has_prefixes,
                  "folio: this cache keeps no prefixes: give it an eviction policy, such as folio::LruEviction");
    return *core.index;
  }

  std::shared_ptr<Core> core_;
};

}  // namespace folio
