// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Encodes whole tiles of tokens once: from a cache in a float format to one whose format may take a tile together. Host
// only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/executor.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>
#include <string>
#include <vector>

namespace folio::ops {

/// Demotion workspace: memory that tiles are encoded in, kept from call to call. For one call at a time.
class DemotionWorkspace {
 public:
  /// Memory for tiles of rows of up to `dim` elements, in each of these formats, on so many threads: so that demote
  /// takes none. Nothing for formats without tiles. Throws std::bad_alloc.
  template <QuantizerPolicy... Formats>
  void prepare(std::int32_t dim, int num_threads) {
    std::size_t const needed = std::max({std::size_t{0}, bytes_of<Formats>(dim)...});
    bytes_ = std::max(bytes_, (needed + 15) / 16 * 16);
    if (std::size_t const all = bytes_ * static_cast<std::size_t>(num_threads); memory_.size() < all)
      memory_.resize(all);
  }

  /// A tile's rows as floats, its codes and its parameters, for thread `i` of those.
  template <QuantizerPolicy Format>
  [[nodiscard]] auto tile(std::int64_t i, std::int32_t dim) {
    struct Tile {
      float* rows;
      std::byte *codes, *params;
    };
    std::byte* const begin = memory_.data() + static_cast<std::size_t>(i) * bytes_;
    std::byte* const codes = begin + std::int64_t{Format::tile_tokens} * dim * 4;
    return Tile{aligned_cast<float>(begin), codes, codes + std::int64_t{Format::tile_tokens} * code_bytes<Format>(dim)};
  }

 private:
  template <QuantizerPolicy Format>
  static std::size_t bytes_of(std::int32_t dim) {
    if constexpr (is_tile_format<Format>)
      return static_cast<std::size_t>(std::int64_t{Format::tile_tokens} *
                                          (std::int64_t{dim} * 4 + code_bytes<Format>(dim)) +
                                      Format::tile_param_bytes(dim));
    else
      return 0;
  }

  std::size_t bytes_ = 0;  // of each thread
  std::vector<std::byte> memory_;
};

namespace detail {

/// Writes the codes and parameters of one tile, as encode_tile gave them, into the block that `to` is the first row of.
/// The padding after each row's codes becomes zero, so that a block is a function of its tokens alone.
template <QuantizerPolicy Quantizer, class Layout, Plane plane, class Layer>
void store_tile(Layer const& layer, BlockId block, std::int32_t head, std::int32_t dim, std::byte const* codes,
                std::byte const* params) {
  std::int32_t const used = code_bytes<Quantizer>(dim), padded = layer.map().extent(plane, RowPart::code).row_bytes;
  std::int32_t const piece = std::min(padded, Layout::run_bytes(plane));
  for (std::int32_t slot = 0; slot < Quantizer::tile_tokens; ++slot) {
    auto const row = [&] {
      if constexpr (plane == Plane::key)
        return layer.key(block, head, slot);
      else
        return layer.value(block, head, slot);
    }();
    alignas(16) std::byte whole[max_row_dim * 4] = {};
    std::memcpy(whole, codes + std::int64_t{slot} * used, static_cast<std::size_t>(used));
    for (std::int32_t byte = 0; byte < padded; byte += piece)
      std::memcpy(row.codes(byte), whole + byte, static_cast<std::size_t>(piece));
    if (slot == 0) std::memcpy(row.param_bytes(), params, static_cast<std::size_t>(Quantizer::tile_param_bytes(dim)));
  }
}

/// Demotes `num_tokens` tokens of one plane and one head: tile by tile, in the memory of `thread`, or row by row where
/// the format has no tiles.
template <QuantizerPolicy From, QuantizerPolicy To, class Layout, Plane plane, class Source, class Target>
void demote_plane(Source const& source, std::int32_t first_token, Target const& target, std::int32_t to_token,
                  std::int32_t num_tokens, std::int32_t head, DemotionWorkspace& workspace, std::int64_t thread) {
  std::int32_t const dim = plane == Plane::key ? source.shape().key_dim : source.shape().value_dim;
  auto const row_of = [head](auto const& sequence, std::int32_t token) {
    if constexpr (plane == Plane::key)
      return sequence.key(head, token);
    else
      return sequence.value(head, token);
  };
  if constexpr (!is_tile_format<To>) {
    for (std::int32_t t = 0; t < num_tokens; ++t)
      requantize_row<From>(row_of(source, first_token + t), row_of(target, to_token + t), dim);
  } else {
    auto const tile = workspace.tile<To>(thread, dim);
    for (std::int32_t begin = 0; begin < num_tokens; begin += To::tile_tokens) {
      for (std::int32_t t = 0; t < To::tile_tokens; ++t) {
        float* const row = tile.rows + std::int64_t{t} * dim;
        load_row(row_of(source, first_token + begin + t), dim, row);
        change_basis(From::basis, row, dim, dim);
      }
      To::encode_tile(tile.rows, dim, tile.codes, tile.params);
      store_tile<To, Layout, plane>(target.layer(), target.block_id(to_token + begin), head, dim, tile.codes,
                                    tile.params);
    }
  }
}

/// Throws Error unless `tokens` are whole tiles of `Quantizer`, where it has tiles.
template <QuantizerPolicy Quantizer>
void check_tiles(Tokens const& tokens) {
  if constexpr (is_tile_format<Quantizer>)
    if (tokens.first % Quantizer::tile_tokens != 0 || tokens.count % Quantizer::tile_tokens != 0)
      throw Error(std::string("folio: ") + Quantizer::name + " is demoted in whole tiles of " +
                  std::to_string(Quantizer::tile_tokens) + " tokens, not " + std::to_string(tokens.count) + " from " +
                  std::to_string(tokens.first) + " on");
}

/// Demotes `tokens` in a layer of a group of `from` to one of `to`. Shared over `threads` by kv heads and tiles.
template <int FromGroup, int ToGroup, class From, class To>
void demote_layer(From const& from, std::int32_t from_index, Tokens const& tokens, To const& to, std::int32_t to_index,
                  Tokens const& to_tokens, Executor threads, DemotionWorkspace& memory) {
  using Source = LayerView<From, FromGroup>;
  using Target = LayerView<To, ToGroup>;
  constexpr bool values = !Source::known.values_in_keys();
  check_tiles<typename Target::KeyQuantizer>(to_tokens);
  if constexpr (values) check_tiles<typename Target::ValueQuantizer>(to_tokens);
  auto const source = from.template sequence_in<FromGroup>(tokens.sequence, from_index);
  auto const target = to.template sequence_in<ToGroup>(to_tokens.sequence, to_index);
  check_tokens(source, tokens);
  check_tokens(target, to_tokens);
  std::int32_t const heads = source.shape().kv_heads, step = std::max(1, target.shape().block_size);
  memory.prepare<typename Target::KeyQuantizer, typename Target::ValueQuantizer>(
      std::max(source.shape().key_dim, source.shape().value_dim), threads.num_threads());
  std::int64_t const tasks = std::int64_t{heads} * blocks_for(tokens.count, step);
  bool const has_tiles =
      is_tile_format<typename Target::KeyQuantizer> || is_tile_format<typename Target::ValueQuantizer>;
  std::int64_t const apart = has_tiles ? std::min<std::int64_t>(tasks, threads.num_threads()) : tasks;
  parallel_for(threads, apart, [&](std::int64_t first) {
    for (std::int64_t task = first; task < tasks; task += apart) {
      auto const head = static_cast<std::int32_t>(task % heads), begin = static_cast<std::int32_t>(task / heads) * step;
      std::int32_t const n = std::min(step, tokens.count - begin);
      demote_plane<typename Source::KeyQuantizer, typename Target::KeyQuantizer, typename To::Layout, Plane::key>(
          source, tokens.first + begin, target, to_tokens.first + begin, n, head, memory, first);
      if constexpr (values)
        demote_plane<typename Source::ValueQuantizer, typename Target::ValueQuantizer, typename To::Layout,
                     Plane::value>(source, tokens.first + begin, target, to_tokens.first + begin, n, head, memory,
                                   first);
    }
  });
}

}  // namespace detail

/// Demotion to another format, those with tiles too: decodes `tokens` of `from` in one layer, and encodes them once
/// into `to_tokens` of `to`, which are as many. Rows that are stored by themselves are what append would have written
/// from the decoded floats; a tile is a pure function of its tokens, its unused bytes included.
///
/// Keys and values may have different formats. Where one has tiles, the first of `to_tokens` and their number are
/// multiples of `tile_tokens`. Throws Error, before anything is written, as requantize does, and for parts of tiles;
/// std::bad_alloc likewise, for tiles whose memory is not in `workspace`. Cost: one pass over the rows, and what
/// encode_tile states. Shared over `threads` by kv heads and tiles; nobody else may read or write the target's slots
/// meanwhile.
template <class From, class To>
requires(!is_device_view<From> && !is_device_view<To>)  //
    void demote(From const& from, std::int32_t layer, Tokens const& tokens, To const& to, Tokens const& to_tokens,
                Executor threads = {}, DemotionWorkspace* workspace = nullptr) {
  check_sequence(from, tokens);
  check_sequence(to, to_tokens);
  check_as_many(tokens, to_tokens);
  detail::with_groups(from, to, layer, [&](auto from_group, std::int32_t from_index, auto to_group, auto to_index) {
    DemotionWorkspace own;
    detail::demote_layer<from_group(), to_group()>(from, from_index, tokens, to, to_index, to_tokens, threads,
                                                   workspace != nullptr ? *workspace : own);
  });
}

}  // namespace folio::ops
