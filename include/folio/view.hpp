// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What does a kernel read? BlockTableView: one step's block tables over the blocks' memory. Host and device.
//
// A view is trivially copyable and passed to kernels by value. It owns and checks nothing: indices are the caller's
// promise, as in any kernel. Its type depends on the model, the quantizers, the layout and the block size only.

#include <folio/block.hpp>
#include <folio/group_table.hpp>
#include <folio/layout/block_map.hpp>
#include <folio/quantizer/formats.hpp>
#include <folio/row.hpp>

namespace folio {

/// The shape that every group of a model shares, as far as the types tell; the rest is `dynamic`, and read at run time.
template <ModelPolicy M, BlockSizePolicy Blocks>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupShape shared_shape() {
  GroupShape shape = group_shape(M::config, 0, Blocks::block_size(0));
  auto const keep = [](std::int32_t& mine, std::int32_t other) { mine = mine == other ? mine : dynamic; };
  for (int g = 1; g < M::config.num_groups(); ++g) {
    GroupShape const other = group_shape(M::config, g, Blocks::block_size(g));
    shape.kind = shape.kind == other.kind ? shape.kind : AttentionKind::none;
    keep(shape.layers, other.layers);
    keep(shape.kv_heads, other.kv_heads);
    keep(shape.key_dim, other.key_dim);
    keep(shape.value_dim, other.value_dim);
    keep(shape.window, other.window);
    keep(shape.sinks, other.sinks);
    keep(shape.block_size, other.block_size);
  }
  return shape;
}

/// Whether the blocks of every group from `Group` on are tiles of its format, if that has tiles.
template <ModelPolicy M, BlockSizePolicy Blocks, FormatPolicy F, int Group = 0>
[[nodiscard]] constexpr bool tiles_fit() {
  if constexpr (Group < M::config.num_groups()) {
    if constexpr (is_tile_format<FormatIn<F, Group>>)
      if (Blocks::block_size(Group) != FormatIn<F, Group>::tile_tokens) return false;
    return tiles_fit<M, Blocks, F, Group + 1>();
  }
  return true;
}

inline constexpr int any_group = -1;

/// Layer view, of one layer of a step: the rows of its blocks. `Group` is its group, or `any_group` where that is known
/// at run time.
template <class View, int Group>
class LayerView {
 public:
  /// What the types tell of the shape.
  static constexpr GroupShape known = View::template static_shape<Group>();
  using KeyQuantizer = typename View::template KeyQuantizerIn<Group>;
  /// In a latent layer, whose values are the beginning of its keys, theirs.
  using ValueQuantizer =
      std::conditional_t<known.values_in_keys(), KeyQuantizer, typename View::template ValueQuantizerIn<Group>>;
  using KeyRow = Row<KeyQuantizer, typename View::Layout, Plane::key>;
  using ValueRow = Row<ValueQuantizer, typename View::Layout, Plane::value>;

  FOLIO_HOST_DEVICE constexpr LayerView(GroupTable const& table, std::int32_t index_in_group)
      : table_(table), layer_begin_(table.pool + index_in_group * map().layer_bytes()) {}

  /// The group's shape. What the types know folds to constants.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupShape shape() const {
    GroupShape shape = table_.shape;
    if constexpr (known.kind != AttentionKind::none) shape.kind = known.kind;
    if constexpr (known.layers != dynamic) shape.layers = known.layers;
    if constexpr (known.kv_heads != dynamic) shape.kv_heads = known.kv_heads;
    if constexpr (known.key_dim != dynamic) shape.key_dim = known.key_dim;
    if constexpr (known.value_dim != dynamic) shape.value_dim = known.value_dim;
    if constexpr (known.window != dynamic) shape.window = known.window;
    if constexpr (known.sinks != dynamic) shape.sinks = known.sinks;
    if constexpr (known.block_size != dynamic) shape.block_size = known.block_size;
    return shape;
  }

  /// The key of kv head `head` in slot `slot` of a block, from 0 to block_size - 1.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr KeyRow key(BlockId block, std::int32_t head, std::int32_t slot) const {
    return row<KeyRow>(Plane::key, block, head, slot);
  }

  /// The value; in a latent layer the first value_dim elements of the key.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto value(BlockId block, std::int32_t head, std::int32_t slot) const {
    if constexpr (known.values_in_keys())
      return row<KeyRow>(Plane::key, block, head, slot);
    else
      return row<ValueRow>(Plane::value, block, head, slot);
  }

  /// The tile of a kv head in a block: its codes, or the parameters of these. In it rows are as the layout has them:
  /// in LayoutHnd [slot][row bytes]. Begins at a multiple of 16 where it is contiguous and of codes, and of 4 else. The
  /// values of a latent layer are in its keys, and have no bytes.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr HeadTile head_tile(Plane plane, BlockId block, std::int32_t head,
                                                               RowPart part = RowPart::code) const {
    using Layout = typename View::Layout;
    auto const m = map();
    PlaneExtent const extent = m.extent(plane, part);
    std::byte* const begin = layer_begin_ + to_int(block) * m.block_bytes() + m.plane_offset(plane, part);
    std::int64_t const bytes = std::int64_t{extent.slots} * extent.row_bytes;
    if (Layout::whole_heads(plane) || extent.heads == 1) return {begin + head * bytes, bytes, true};
    return {begin + (part == RowPart::code ? Layout::code_offset(plane, extent, head, 0, 0)
                                           : Layout::param_offset(plane, extent, head, 0)),
            bytes, false};
  }

  /// The byte offsets inside a block, for those who address by themselves.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto map() const {
    return BlockMap<KeyQuantizer, ValueQuantizer, typename View::Layout>{shape()};
  }
  /// The layer's bytes in block 0; block b is block_bytes() * b further.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::byte* base() const { return layer_begin_; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupTable const& table() const { return table_; }

 private:
  template <class AnyRow>
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr AnyRow row(Plane plane, BlockId block, std::int32_t head,
                                                       std::int32_t slot) const {
    auto const m = map();
    std::byte* const layer = layer_begin_ + to_int(block) * m.block_bytes();
    std::byte* const params =
        layer + m.plane_offset(plane, RowPart::param) +
        View::Layout::param_offset(plane, m.extent(plane, RowPart::param), head, AnyRow::params_of_tile ? 0 : slot);
    return AnyRow(layer + m.plane_offset(plane, RowPart::code), m.extent(plane, RowPart::code), params, head, slot);
  }

  GroupTable table_;
  std::byte* layer_begin_;
};

/// Whether a layer's rows have 16 bits or more for each element, so that encoding them in fewer is the first time.
template <class Layer>
inline constexpr bool has_exact_rows = Layer::KeyQuantizer::bits >= 16 && Layer::ValueQuantizer::bits >= 16;

/// Block view: a block of a sequence, as one layer sees it: slots [0, size()) hold tokens [first_token(), first_token()
/// + size()).
template <class Layer>
class BlockView {
 public:
  FOLIO_HOST_DEVICE constexpr BlockView(Layer const& layer, BlockId id, std::int32_t first_token, std::int32_t size)
      : layer_(&layer), id_(id), first_token_(first_token), size_(size) {}

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr BlockId id() const { return id_; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t first_token() const { return first_token_; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t size() const { return size_; }
  /// The key of kv head `head` in slot `slot`, from 0 to size() - 1; below, the value.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto key(std::int32_t head, std::int32_t slot) const {
    return layer_->key(id_, head, slot);
  }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto value(std::int32_t head, std::int32_t slot) const {
    return layer_->value(id_, head, slot);
  }

 private:
  Layer const* layer_;
  BlockId id_;
  std::int32_t first_token_, size_;
};

/// Sequence view: paged KV of one sequence, in one layer. Logically its stored tokens are contiguous; physically they
/// are in blocks. A token's number is its place among those that the layer's group stores, which ascend with their
/// positions: the position itself, but where tokens were taken out of the group.
template <class View, int Group>
class SequenceView {
 public:
  using Layer = LayerView<View, Group>;

  /// `limits`: of its queries, or null.
  FOLIO_HOST_DEVICE constexpr SequenceView(Layer const& layer, std::int32_t const* blocks, std::int32_t num_tokens,
                                           std::int32_t num_query_tokens, std::int32_t const* limits = nullptr)
      : layer_(layer),
        blocks_(blocks),
        limits_(limits),
        num_tokens_(num_tokens),
        num_query_tokens_(num_query_tokens),
        num_hidden_(hidden_blocks(layer.shape(), first_query())) {}

  /// Tokens that are stored, the queries included.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_tokens() const { return num_tokens_; }
  /// This step's query tokens: the last ones of the sequence, unless the batch was given others (BatchItem).
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_query_tokens() const { return num_query_tokens_; }
  /// Where causality ends what query `q` of them sees, its own token included: tokens [0, limit(q)), of which a window
  /// hides some. So its own number is limit(q) - 1, from which windows and ALiBi count; -1 before all tokens. Ascends
  /// with q.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t limit(std::int32_t q) const {
    std::int32_t seen = num_tokens_ - num_query_tokens_ + q + 1;
    if (limits_ != nullptr) seen = limits_[q];
    return seen;
  }
  /// The number of the first query among the stored tokens, limit(0) - 1.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t first_query() const { return limit(0) - 1; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr Layer const& layer() const { return layer_; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupShape shape() const { return layer_.shape(); }

  /// The key of kv head `head` of a token, from 0 to num_tokens() - 1. Where block_id(token) is the null block, because
  /// the token lies before the window: a row of zero bytes, which is not to be written.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto key(std::int32_t head, std::int32_t token) const {
    return layer_.key(block_id(token), head, slot_of(token));
  }
  /// The value likewise.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto value(std::int32_t head, std::int32_t token) const {
    return layer_.value(block_id(token), head, slot_of(token));
  }

  /// The block that holds `token`; the null block where it lies before the window of the step's first query.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr BlockId block_id(std::int32_t token) const {
    return id_at(
        static_cast<std::int32_t>(static_cast<std::uint32_t>(token) / static_cast<std::uint32_t>(shape().block_size)));
  }

  /// The sequence's blocks: all of them, or with a window the sinks' and those from the first query's window on. They
  /// hold what queries see, and more, but for a last token in a layer without a window: ask shape().visible(query,
  /// token), where query `i` of the sequence is number limit(i) - 1 among the stored tokens.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto blocks() const& { return Blocks{this}; }
  auto blocks() const&& = delete;  // the range points into the sequence: give that a name first

 private:
  struct End {};
  struct Iterator {
    SequenceView const* sequence;
    std::int32_t index;
    [[nodiscard]] FOLIO_HOST_DEVICE constexpr BlockView<Layer> operator*() const { return sequence->block(index); }
    FOLIO_HOST_DEVICE constexpr Iterator& operator++() {
      index = sequence->next_block(index + 1);
      return *this;
    }
    [[nodiscard]] FOLIO_HOST_DEVICE constexpr bool operator!=(End) const {
      // The block after the last may begin at 2^31.
      return static_cast<std::uint32_t>(index) * static_cast<std::uint32_t>(sequence->shape().block_size) <
             static_cast<std::uint32_t>(sequence->num_tokens_);
    }
  };
  struct Blocks {
    SequenceView const* sequence;
    [[nodiscard]] FOLIO_HOST_DEVICE constexpr Iterator begin() const { return {sequence, sequence->next_block(0)}; }
    [[nodiscard]] FOLIO_HOST_DEVICE constexpr End end() const { return {}; }
  };

  // Numbers of tokens are not negative: unsigned divisions by a block size that is known are shifts and masks.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t slot_of(std::int32_t token) const {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(token) %
                                     static_cast<std::uint32_t>(shape().block_size));
  }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr BlockView<Layer> block(std::int32_t index) const {
    std::int32_t const first = index * shape().block_size;
    std::int32_t const left = num_tokens_ - first;
    return {layer_, id_at(index), first, left < shape().block_size ? left : shape().block_size};
  }
  /// The sequence's block `index`, which its row of the table has further to the left where it leaves some out.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr BlockId id_at(std::int32_t index) const {
    if constexpr (Layer::known.window != 0) {
      std::int32_t const sinks = blocks_for(shape().sinks, shape().block_size);
      if (index >= sinks) {
        index -= num_hidden_;
        if (index < sinks) return null_block;
      }
    }
    return BlockId{blocks_[index]};
  }
  /// The first block from `index` on that holds a sink or a token of the first query's window or later.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t next_block(std::int32_t index) const {
    GroupShape const s = shape();
    if (s.window == 0 || index < blocks_for(s.sinks, s.block_size)) return index;
    std::int32_t const window_block = s.window_begin(first_query()) / s.block_size;
    return index < window_block ? window_block : index;
  }

  Layer layer_;
  std::int32_t const *blocks_, *limits_;
  std::int32_t num_tokens_, num_query_tokens_;
  std::int32_t num_hidden_;  ///< blocks that the row leaves out
};

/// Block-table view: one step's block tables over the memory of the blocks. Made by Batch::view(), and good as long as
/// that batch is: until it is filled again, goes or is stale. May be copied and read by any number of threads.
///
/// KeyQuantizer is a quantizer, or Formats where groups have their own; then a layer's is LayerView::KeyQuantizer.
/// ValueQuantizer likewise.
template <ModelPolicy M, BlockSizePolicy Blocks, FormatPolicy KeyQ, FormatPolicy ValueQ, LayoutPolicy L>
class BlockTableView {
 public:
  using ModelType = M;
  using KeyQuantizer = KeyQ;
  using ValueQuantizer = ValueQ;
  template <int Group>
  using KeyQuantizerIn = FormatIn<KeyQ, Group>;
  template <int Group>
  using ValueQuantizerIn = FormatIn<ValueQ, Group>;
  using Layout = L;
  static constexpr int num_groups = M::config.num_groups(), num_lists = num_groups;
  static_assert((detail::num_formats<KeyQ> == 1 || detail::num_formats<KeyQ> == num_groups) &&
                    (detail::num_formats<ValueQ> == 1 || detail::num_formats<ValueQ> == num_groups),
                "folio: Formats<...>, Keys<...> and Values<...> need one format, or one for each layer group of the "
                "model");
  static_assert(tiles_fit<M, Blocks, KeyQ>() && tiles_fit<M, Blocks, ValueQ>(),
                "folio: a tile format's tile is one block: give BlockSize<Q::tile_tokens> to the caches that have it");

  /// All pointers stay the caller's. `end_positions`: [num_sequences] where each sequence ends; `query_starts`:
  /// [num_sequences + 1], from 0; `pattern`: where the model leaves it dynamic.
  FOLIO_HOST_DEVICE constexpr BlockTableView(GroupTable const (&groups)[std::size_t{num_groups}],
                                             std::int32_t const* end_positions, std::int32_t const* query_starts,
                                             std::int32_t num_sequences, std::int32_t num_query_tokens,
                                             LayerPattern const& pattern = known_pattern())
      : end_positions_(end_positions),
        query_starts_(query_starts),
        num_sequences_(num_sequences),
        num_query_tokens_(num_query_tokens),
        pattern_(pattern) {
    for (int g = 0; g < num_groups; ++g) {
      groups_[g] = groups[g];
      if (groups_[g].lengths == nullptr) groups_[g].lengths = end_positions;
    }
  }

  /// Rows of the tables: padding counts, which a DeviceBatch has up to its capacity.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_sequences() const { return num_sequences_; }
  /// Query tokens of all sequences together, padding included: the rows of q, and of the new keys and values.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_query_tokens() const { return num_query_tokens_; }
  /// The row of q at which the query tokens of sequence `i` begin.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t query_start(std::int32_t i) const { return query_starts_[i]; }
  /// Where sequence `i` ends: the position of its next token, whatever its groups store.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t end_position(std::int32_t i) const {
    return end_positions_[i];
  }

  /// Sequence `i` of the step, as `layer` of the model sees it. For models whose layers are all latent or none is.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr auto sequence(std::int32_t i, std::int32_t layer) const {
    constexpr int group = num_groups == 1 ? 0 : any_group;
    static_assert(group == 0 || static_shape<any_group>().kind != AttentionKind::none || !has_latent(),
                  "folio: this model mixes latent and other layers, whose rows have different types: "
                  "ask for a group of layers by sequence_in<Group>(i, index_in_group)");
    static_assert(!std::is_void_v<KeyQuantizerIn<group>> && !std::is_void_v<ValueQuantizerIn<group>>,
                  "folio: this cache has a format for each group of layers, whose rows have different types: ask for "
                  "a group of layers by sequence_in<Group>(i, index_in_group)");
    LayerPlace const at = place(layer);
    return make_sequence<group>(i, groups_[at.group], at.index);
  }

  /// Sequence `i`, as layer `index` of group `Group` sees it: everything known at compile time is.
  template <int Group>
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr SequenceView<BlockTableView, Group> sequence_in(std::int32_t i,
                                                                                            std::int32_t index) const {
    return make_sequence<Group>(i, groups_[Group], index);
  }

  /// The group of `layer`, from 0 to the model's layers - 1, and the layer's index in it.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr LayerPlace place(std::int32_t layer) const { return pattern_.place(layer); }
  /// The group of every layer.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr LayerPattern pattern() const { return pattern_; }
  /// The table of layer group `g`, from 0 to num_groups - 1.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupTable const& group(std::int32_t g) const { return groups_[g]; }

  /// What the types tell of a group's shape, or of every group's for `any_group`; the rest is `dynamic`.
  template <int Group>
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr GroupShape static_shape() {
    if constexpr (Group == any_group)
      return shared_shape<M, Blocks>();
    else
      return group_shape(M::config, Group, Blocks::block_size(Group));
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr LayerPattern known_pattern() {
    static_assert(num_groups == 1 || M::config.pattern.period != dynamic,
                  "folio: the model leaves its pattern dynamic: give the view the one of KvCache::pattern()");
    return M::config.pattern;
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool has_latent() {
    for (int g = 0; g < num_groups; ++g)
      if (M::config.groups[g].kind == AttentionKind::latent) return true;
    return false;
  }

  template <int Group>
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr SequenceView<BlockTableView, Group> make_sequence(
      std::int32_t i, GroupTable const& table, std::int32_t index) const {
    // Both are positive, and unsigned numbers of 32 bits have a product of 64 in one instruction.
    std::uint64_t const begin = std::uint64_t{static_cast<std::uint32_t>(i)} * static_cast<std::uint32_t>(table.width);
    std::int32_t const start = query_starts_[i], num_queries = query_starts_[i + 1] - start;
    std::int32_t const* const limits = table.limits != nullptr && num_queries > 0 ? table.limits + start : nullptr;
    return {LayerView<BlockTableView, Group>(table, index), table.blocks + begin, table.lengths[i], num_queries,
            limits};
  }

  struct OneGroup {
    FOLIO_HOST_DEVICE explicit constexpr OneGroup(LayerPattern const&) {}
    FOLIO_HOST_DEVICE constexpr operator LayerPattern() const { return {}; }
    [[nodiscard]] FOLIO_HOST_DEVICE static constexpr LayerPlace place(std::int32_t layer) { return {0, layer}; }
  };
  GroupTable groups_[std::size_t{num_groups}];
  std::int32_t const* end_positions_;
  std::int32_t const* query_starts_;
  std::int32_t num_sequences_, num_query_tokens_;
  std::conditional_t<num_groups == 1, OneGroup, LayerPattern> pattern_;
};

}  // namespace folio
