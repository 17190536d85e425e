// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which precision has a token? Demote<...>, the policy of a KvCache: sinks and the newest tokens in the cache's format,
// older ones in another that takes less memory. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/batch.hpp>
#include <folio/block.hpp>
#include <folio/cache_config.hpp>
#include <folio/detail/cache_sizes.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/detail/policy_set.hpp>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/layout/block_map.hpp>
#include <folio/model.hpp>
#include <folio/ops/demote.hpp>
#include <folio/ops/gather.hpp>
#include <folio/precision/mixed_view.hpp>
#include <folio/sequence.hpp>
#include <folio/view.hpp>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace folio {

/// Demotion error: what sampled keys and values have lost by demotion: the mean squared error of their rows, in the
/// model's basis, in shares of these rows' mean square, which is the variance where the mean is 0. 0 before the first.
struct DemotionError {
  std::int64_t num_tokens = 0;                                  ///< measured samples: a token in one layer, all heads
  double lost_keys = 0, keys = 0, lost_values = 0, values = 0;  ///< sums of squares

  [[nodiscard]] double of_keys() const noexcept { return keys > 0 ? lost_keys / keys : 0; }
  [[nodiscard]] double of_values() const noexcept { return values > 0 ? lost_values / values : 0; }
};

/// What demote_all did.
struct DemotionCounts {
  std::int64_t num_tokens = 0;   ///< that moved
  std::int64_t num_refused = 0;  ///< sequences for which a second list had too few blocks: they stay as they are
};

/// Demotion: what a KvCache with the policy Demote has besides. Used by the thread that owns the cache.
template <class Cache>
class DemotionOperations {
 public:
  /// How many tokens demote() would demote: whole units of those that are accepted and have left the recent window.
  /// Throws Error for another cache's sequence.
  [[nodiscard]] std::int32_t num_due(Sequence const& sequence, std::int32_t num_accepted = all_tokens) const {
    SequenceState const& state = sequence.state();
    if (sequence.store() != &core().store) throw Error("folio: demote needs a sequence of this cache");
    return folio::num_due(rules(), state, std::min(num_accepted, state.num_tokens - recent_window()));
  }

  /// Demotes what is due, once for good, in all layers that demote. `num_accepted`: tokens from there on may yet
  /// be taken back (speculative decoding) and stay. The keys and values of the tokens must be written. Returns how many
  /// tokens moved. Call it after each step, before insert; a step's batch is made after it.
  ///
  /// Throws OutOfBlocks when a second list has too few blocks, Error for another cache's sequence, std::bad_alloc;
  /// nothing is changed then. And what a format or `threads` throw: the sequence is as it was then, but batches of it
  /// that were made before are stale, and prefixes may have been evicted for the blocks. Cost: num_due() tokens decoded
  /// and encoded in each of these layers, shared over `threads`; a few comparisons where nothing is due.
  std::int32_t demote(Sequence& sequence, std::int32_t num_accepted = all_tokens, Executor threads = {}) {
    static_assert(host_can_read<typename Cache::Allocator>,
                  "folio: the blocks of this cache are in memory that the host cannot read: demote on a stream, by "
                  "ops::demote of folio/precision/demote.cuh");
    std::int32_t const due = num_due(sequence, num_accepted), before = sequence.num_demoted_tokens();
    if (due == 0) return 0;
    if (tables_ == nullptr) tables_ = std::make_unique<BatchTables>(Cache::num_lists, Cache::num_groups);
    prepare_rows(threads);
    BatchItem const without_queries(&sequence, 0);
    BatchPadding const with_due{.num_tokens = before + due};  // the memory for what is due, before blocks are taken
    tables_->prepare(core().store, {&without_queries, 1}, with_due);
    begin_demotion(sequence, num_accepted);
    try {
      tables_->fill(core().store, {&without_queries, 1}, with_due);
      core().flush();
      encode(tables_->template view_over<typename Cache::View>(tables_->bytes().data(), core()), before, due, threads);
    } catch (...) {
      cancel_demotion(sequence);
      throw;
    }
    end_demotion(sequence, due);
    return due;
  }

  /// demote for each of `sequences`, in this order; missing blocks are counted. `accepted[i]`: as for demote, or empty
  /// for all. Throws Error, before anything changes, for numbers of accepted tokens that are not one for each sequence,
  /// or a sequence that is null or empty. Where a demotion throws anything else, those before it are done.
  DemotionCounts demote_all(std::span<Sequence* const> sequences, std::span<std::int32_t const> accepted = {},
                            Executor threads = {}) {
    if (!accepted.empty() && accepted.size() != sequences.size())
      throw Error("folio: demote_all needs a number of accepted tokens for each of " +
                  std::to_string(sequences.size()) + " sequences, or none, not " + std::to_string(accepted.size()));
    for (Sequence const* const sequence : sequences)
      if (sequence == nullptr || !*sequence) throw Error("folio: demote_all was given an empty Sequence");
    DemotionCounts done;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      try {
        done.num_tokens += demote(*sequences[i], accepted.empty() ? all_tokens : accepted[i], threads);
      } catch (OutOfBlocks const&) {
        ++done.num_refused;
      }
    }
    return done;
  }

  /// What the host's demotions have lost: of one token in 64, other ones in each layer. A sample that has lost no
  /// finite number is left out, such as one with a NaN in its keys or values.
  [[nodiscard]] DemotionError const& demotion_error() const noexcept { return error_; }

  /// The parts of a demotion, for who moves the rows by himself: blocks in the second lists for what is due, with that
  /// many tokens more in them, which are not the sequence's yet. Then, when their rows are written or launched to be,
  /// end_demotion: the first lists give their blocks back; or cancel_demotion, after which batches of the sequence that
  /// were made before are stale, and prefixes that were evicted for the blocks are gone. Nothing else is done to the
  /// sequence in between. Returns what is due. Throws OutOfBlocks, Error and std::bad_alloc as demote does, and changes
  /// nothing.
  std::int32_t begin_demotion(Sequence& sequence, std::int32_t num_accepted = all_tokens) {
    std::int32_t const due = num_due(sequence, num_accepted);
    if (due == 0) return 0;
    check_can_demote(due);
    core().store.begin_demotion(sequence.own_state(), due);
    return due;
  }
  /// Takes the host memory that begin_demotion needs, so that it cannot fail for want of it. Returns what is due.
  /// Throws Error for another cache's sequence; std::bad_alloc.
  std::int32_t prepare_demotion(Sequence& sequence, std::int32_t num_accepted = all_tokens) {
    std::int32_t const due = num_due(sequence, num_accepted);
    core().store.prepare_demotion(sequence.own_state(), due);
    return due;
  }
  /// Throws OutOfBlocks unless the second lists have blocks for `num_tokens` more tokens, of one sequence or several:
  /// so that they are demoted all or none. Of num_due, which are whole units.
  void check_can_demote(std::int64_t num_tokens) {
    SequenceStore& store = core().store;
    int const list = store.list_short_of_demotion(num_tokens);
    if (list < 0) return;
    store.note_out_of_blocks();
    std::int64_t const free = store.pool(list).num_free();
    throw OutOfBlocks(list, num_tokens / store.shape(list).block_size, free, store.num_obtainable(list) - free,
                      "second list");
  }
  void end_demotion(Sequence& sequence, std::int32_t num_tokens) {
    core().store.end_demotion(sequence.own_state(), num_tokens);
  }
  void cancel_demotion(Sequence& sequence) { core().store.cancel_demotion(sequence.own_state()); }

  /// Sinks: the first tokens of a sequence, which are never demoted: those that were asked for, in whole blocks.
  [[nodiscard]] std::int32_t sinks() const noexcept { return rules().sinks; }
  /// As many tokens as this are demoted at a time: whole blocks of both lists, with prefixes of all lists.
  [[nodiscard]] std::int32_t demotion_unit() const noexcept { return rules().unit; }
  /// The newest tokens of a sequence, which are not demoted. Made larger or smaller, from the next demotion on: what is
  /// demoted stays so. Throws Error for a number below 0 or above 2^30.
  [[nodiscard]] std::int32_t recent_window() const noexcept { return core().recent_window; }
  void set_recent_window(std::int32_t num_tokens) {
    core().recent_window = Cache::Demotion::checked("the recent window", num_tokens);
  }
  /// The list of what a layer group has demoted, for the cache's gauges. Throws Error for a group that demotes nothing.
  [[nodiscard]] int second_list(int group = 0) const {
    check_group(group, Cache::num_groups);
    if (!rules().demotes(group))
      throw Error("folio: layer group " + std::to_string(group) +
                  " demotes nothing: it has a window, or a format of less than 16 bits");
    return rules().second_list(group);
  }

 private:
  /// Moves `num_tokens` tokens after the sinks, of the one sequence of `view`, to the end of its demoted tokens.
  template <class View>
  void encode(View const& view, std::int32_t num_demoted, std::int32_t num_tokens, Executor threads) {
    for (std::int32_t layer = 0; layer < view.num_layers(); ++layer) {
      if (!view.demotes(layer)) continue;
      ops::with_group(view.recent, layer, [&](auto group, std::int32_t index) {
        if constexpr (View::template group_demotes<group()>)
          ops::detail::demote_layer<group(), group()>(view.recent, index, {0, view.sinks, num_tokens}, view.demoted,
                                                      index, {0, num_demoted, num_tokens}, threads, workspace_);
      });
      constexpr std::int32_t every = 64, apart = 29;  // which has no factor with it: each layer begins elsewhere
      std::int32_t const first = (layer % every * apart + every - num_demoted % every) % every;
      for (std::int32_t t = first; t < num_tokens; t += every) sample(view, layer, view.sinks + t, num_demoted + t);
    }
  }
  /// Adds up what a token has lost in a layer. There is memory for it.
  template <class View>
  void sample(View const& view, std::int32_t layer, std::int32_t from, std::int32_t to) {
    float* const before = rows_.data();
    std::size_t keys = 0, both = 0;
    ops::with_group(view.recent, layer, [&](auto group, std::int32_t index) {
      auto const sequence = view.recent.template sequence_in<group()>(0, index);
      GroupShape const shape = sequence.shape();
      keys = row_floats(shape.kv_heads, shape.key_dim);
      both = keys + row_floats(shape.kv_heads, shape.value_dim);
      ops::detail::gather_token(sequence, from, before, before + keys);
    });
    float* const after = before + both;
    ops::with_group(view.demoted, layer, [&](auto group, std::int32_t index) {
      ops::detail::gather_token(view.demoted.template sequence_in<group()>(0, index), to, after, after + keys);
    });
    auto const squares = [&](std::size_t begin, std::size_t end, double& lost, double& all) {
      for (std::size_t i = begin; i < end; ++i) {
        lost += (double{after[i]} - before[i]) * (double{after[i]} - before[i]);
        all += double{before[i]} * before[i];
      }
    };
    DemotionError one;
    squares(0, keys, one.lost_keys, one.keys);
    squares(keys, both, one.lost_values, one.values);
    double const sum = one.lost_keys + one.keys + one.lost_values + one.values;
    if ((to_bits(static_cast<float>(sum)) & 0x7F800000U) == 0x7F800000U) return;  // not finite
    ++error_.num_tokens;
    error_.lost_keys += one.lost_keys;
    error_.keys += one.keys;
    error_.lost_values += one.lost_values;
    error_.values += one.values;
  }
  static std::size_t row_floats(std::int32_t heads, std::int32_t dim) {
    return static_cast<std::size_t>(heads) * static_cast<std::size_t>(dim);
  }
  /// Takes the memory for samples, and for tiles.
  void prepare_rows(Executor threads) {
    using Second = typename Cache::Demotion::Set;
    std::size_t most = 0;
    std::int32_t dim = 0;
    for (GroupShape const& shape : core().shapes) {
      most = std::max(most, 2 * row_floats(shape.kv_heads, shape.key_dim + shape.value_dim));
      dim = std::max({dim, shape.key_dim, shape.value_dim});
    }
    rows_.resize(most);
    workspace_.prepare<typename Second::KeyQuantizer, typename Second::ValueQuantizer>(dim, threads.num_threads());
  }

  [[nodiscard]] auto& core() noexcept { return *static_cast<Cache&>(*this).core_; }
  [[nodiscard]] auto const& core() const noexcept { return *static_cast<Cache const&>(*this).core_; }
  [[nodiscard]] DemotionRules const& rules() const noexcept { return core().store.demotion(); }

  std::unique_ptr<BatchTables> tables_;  // of one sequence; null before anything was demoted
  DemotionError error_;
  std::vector<float> rows_;  // of a sample, before and after
  ops::DemotionWorkspace workspace_;
};

/// Demotion policy: mixed precision. Sinks and the newest tokens of a sequence are in the cache's own format; older
/// ones are encoded once, for good, in this one, and never again. (KIVI, arXiv 2402.02750, keeps a tail in f16 so;
/// sinks: StreamingLLM, arXiv 2309.17453.)
///
///   KvCache<Model<m>, F16, Demote<Int4Rotated>, LruEviction>
///   KvCache<Model<m>, F16, Demote<Keys<Int8PerToken>, Values<Int4Rotated>, BlockSize<64>, LayoutNhd>>
///
/// `Policies`: a quantizer, or Keys<> and Values<>; a block size, by default the cache's, or a tile where the format
/// has tiles; a layout, by default LayoutHnd.
///
/// Each layer group without a window, whose own format has 16 bits or more, has a second list of blocks, in a pool of
/// its own, for what it has demoted. At least one group does. Layers with a window are never demoted, because windows
/// bound their memory already. New tokens go to the first list;
/// demote() moves whole units that have left the recent window. All else is as in any cache: forks, truncation (of
/// demoted tokens in whole units), prefixes, reservations, statistics. CacheConfig::demotion has the numbers.
template <class... Policies>
struct Demote {
  static constexpr bool demotes = true;
  template <class Cache>
  using Operations = DemotionOperations<Cache>;

  using Set = PolicySet<Policies...>;
  static_assert(Set::template count<PolicyKind::quantizer> > 0 ||
                    (Set::template count<PolicyKind::keys> > 0 && Set::template count<PolicyKind::values> > 0),
                "folio::Demote: which format are tokens demoted to? Give a quantizer, or Keys<> and Values<>");
  static_assert(sizeof(detail::CheckFormat<Set>) > 0);
  static_assert(Set::template count<PolicyKind::quantizer> + Set::template count<PolicyKind::keys> +
                        Set::template count<PolicyKind::values> + Set::template count<PolicyKind::layout> +
                        Set::template count<PolicyKind::block_size> ==
                    sizeof...(Policies),
                "folio::Demote takes a quantizer, or Keys<> and Values<>, a block size and a layout; what else a cache "
                "has is given to KvCache");

  /// Of a tile of the keys' format or the values'; 0 where neither has tiles.
  static constexpr std::int32_t tile_tokens = [] {
    if constexpr (is_tile_format<typename Set::KeyQuantizer>)
      return Set::KeyQuantizer::tile_tokens;
    else if constexpr (is_tile_format<typename Set::ValueQuantizer>)
      return Set::ValueQuantizer::tile_tokens;
    else
      return std::int32_t{0};
  }();
  static_assert(detail::num_formats<typename Set::KeyQuantizer> == 1 &&
                    detail::num_formats<typename Set::ValueQuantizer> == 1,
                "folio::Demote: all layer groups demote to one format; keep one");
  /// The cache's blocks, or those that were given, or tiles.
  template <class OfCache>
  using BlocksOf =
      std::conditional_t<(Set::template count<PolicyKind::block_size> > 0), typename Set::Blocks,
                         std::conditional_t<(tile_tokens > 0), BlockSize<std::max(1, tile_tokens)>, OfCache>>;
  template <class View, class OfCache>
  using ViewOf =
      MixedPrecisionView<View, BlockTableView<typename View::ModelType, BlocksOf<OfCache>, typename Set::KeyQuantizer,
                                              typename Set::ValueQuantizer, typename Set::Layout>>;
  using Map = BlockMap<typename Set::KeyQuantizer, typename Set::ValueQuantizer, typename Set::Layout>;

  /// `num_tokens`, if it is a number of tokens. Throws Error.
  static std::int32_t checked(char const* what, std::int32_t num_tokens) {
    if (num_tokens < 0 || num_tokens > 1 << 30)
      throw Error(std::string("folio: ") + what + " has 0 to 1073741824 tokens, not " + std::to_string(num_tokens));
    return num_tokens;
  }

  template <class Cache>
  [[nodiscard]] static constexpr bool has_full_group() {
    for (int g = 0; g < Cache::num_groups; ++g)
      if (Cache::model.groups[g].window == 0) return true;
    return false;
  }
  /// Adds the second lists to a cache's sizes, and says what a sequence holds at the most of each list.
  template <class Cache>
  static void add_lists(CacheConfig const& config, CacheSizes& sizes) {
    static_assert(has_full_group<Cache>(),
                  "folio::Demote: all layers of this model have a window, which bounds their memory, so that no token "
                  "is left to demote: take Demote<> out");
    static_assert(!has_full_group<Cache>() || Cache::View::num_demoting > 0,
                  "folio::Demote: what is demoted was exact: the cache's own format has 16 bits or more, in a layer "
                  "group without a window at least");
    using Second = BlocksOf<typename Cache::Blocks>;
    static_assert(Second::num_sizes == 1 || Second::num_sizes == Cache::num_groups,
                  "folio::Demote: BlockSizes<...> needs one size, or one for each layer group of the model");
    static_assert(latent_fits_rotation<typename Set::KeyQuantizer, Cache::model>(),
                  "folio::Demote: the values of a latent layer are the beginning of its keys, and this quantizer "
                  "rotates both in blocks that cross their border; take one that does not rotate");
    DemotionConfig const& given = config.demotion;
    std::int64_t unit = 1, first_blocks = 1;  // whole blocks of all lists, and of the first ones
    std::int32_t layers = 0;                  // that demote
    std::size_t const num_groups = sizes.shapes.size();
    auto const widen = [&](std::int64_t block_size) {
      unit = std::lcm(unit, block_size);
      if (unit > 1 << 30)
        throw Error(
            "folio: tokens are demoted in units that fill whole blocks of every list, and there is none of at most "
            "2^30 tokens; give block sizes with a smaller common multiple");
    };
    for (int g = 0; g < Cache::num_groups; ++g) {
      GroupShape shape = sizes.shapes[static_cast<std::size_t>(g)];
      bool const has_second = (Cache::View::demoting_groups >> g & 1U) != 0;
      if (has_second || Cache::has_prefixes) widen(shape.block_size);
      if (!has_second) continue;
      layers += shape.layers;
      first_blocks = std::lcm(first_blocks, std::int64_t{shape.block_size});
      shape.block_size = Second::block_size(g);
      widen(shape.block_size);
      sizes.shapes.push_back(shape);
    }
    if (layers == 0)
      throw Error(
          "folio: all layers of this model have a window, which bounds their memory, or a format of less than 16 bits, "
          "so that no token is left to demote: make a cache without Demote<>");
    sizes.recent_window = checked("CacheConfig::demotion.recent_window", given.recent_window.value_or(64));
    std::int64_t const whole = Cache::has_prefixes ? unit : first_blocks;
    auto const rounded = static_cast<std::int32_t>(
        (checked("CacheConfig::demotion.sinks", given.sinks.value_or(16)) + whole - 1) / whole * whole);
    std::int32_t const sinks = checked("CacheConfig::demotion.sinks, in whole blocks,", rounded);
    for (std::size_t l = num_groups; l < sizes.shapes.size(); ++l) sizes.shapes[l].sinks = sinks;
    sizes.demotion =
        DemotionRules::of(Cache::num_groups, Cache::View::demoting_groups, sinks, static_cast<std::int32_t>(unit));
    while (sizes.block_bytes.size() < sizes.shapes.size()) sizes.template add_bytes<Map>();
    std::size_t const num_second = sizes.shapes.size() - num_groups;
    if (given.num_blocks.size() != (config.num_blocks.empty() ? 0 : num_second))
      throw Error("folio: CacheConfig::demotion.num_blocks has " + std::to_string(given.num_blocks.size()) +
                  " entries; the model has " + std::to_string(num_second) +
                  " layer groups that demote, which need one each where CacheConfig::num_blocks is given, and none "
                  "where memory_bytes is");
    for (std::size_t i = 0; i < given.num_blocks.size(); ++i)
      sizes.num_blocks.push_back(sizes.shapes[num_groups + i].layers == 0 ? 0 : given.num_blocks[i]);
    sizes.held.clear();
    for (int l = 0; l < static_cast<int>(sizes.shapes.size()); ++l)
      sizes.held.push_back(
          sizes.demotion.shape_held(sizes.shapes[static_cast<std::size_t>(l)], l, sizes.recent_window));
  }
};

}  // namespace folio
