// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the attention kernels work on: tiles of 64 tokens, and blocks of 4 query rows. Host only.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/row_format.hpp>
#include <limits>
#include <vector>

namespace folio::attention {

/// Tiles begin at multiples of this, whatever the block size.
inline constexpr std::int32_t tile_tokens = attention_tile_tokens;
inline constexpr std::int32_t row_group = 16;  ///< tokens whose rows the kernels load at once, at most
inline constexpr std::int32_t block_rows = 4;  ///< query rows that share each load of a key or a value
/// Up to so many tokens, rows of integers are decoded: to make integers of queries and weights takes longer.
inline constexpr std::int32_t few_tokens = 4;

/// Queries and weights as integers of 16 bits, four of them in as many words of 4 bytes as this; what a word has is up
/// to the instructions. In units of a row's largest they are finer than f16, whose numbers the kernels of others
/// multiply, but for queries with outliers: attention/host/packed_queries.hpp.
inline constexpr std::int32_t query_words = 2, weight_words = 2;
inline constexpr float query_limit = 127.0F * 256.0F, weight_limit = 32767.0F;
/// What the first integers leave of a query's element is at most half a unit of theirs; of these the second ones have
/// so many, and stay below query_limit.
inline constexpr float query_rest_units = 64000.0F;

/// The score of a token that a query does not see: less than all others, and a number, which compilers that are told
/// that there is no infinity (-ffast-math) compare as any other.
inline constexpr float hidden_score = std::numeric_limits<float>::lowest();

/// The rows of up to 64 neighbouring tokens in one plane and head, by their addresses: so any layout that keeps rows
/// whole, and any block size, has the same kernels. Tokens that nobody sees have the address of one that is seen, up to
/// a multiple of `row_group`; there are none after.
struct TokenTileRows {
  std::byte const* codes[tile_tokens] = {};
  std::byte const* params[tile_tokens] = {};
  std::byte const *tokens = nullptr, *channels = nullptr;  ///< parameters of formats that store tiles
};

/// The rows of a tile that comes later. The kernels prefetch them a few at a time: a core has few lines on their
/// way at once, and waits where it asks for more; where it asks for none, memory waits.
struct PrefetchRows {
  TokenTileRows const *keys = nullptr, *values = nullptr;
  std::int32_t key_bytes = 0, value_bytes = 0;
  std::int32_t tokens = tile_tokens;  ///< to ask for
  std::int32_t at = 0;                ///< of the keys, then of the values

  /// Always inlined: a call in a loop would cost it its registers.
  [[gnu::always_inline]] inline void prefetch(std::int32_t rows) {
    for (std::int32_t const end = at + rows; at < end && at < 2 * tokens; ++at)
      if (at < tokens)
        prefetch_row(*keys, at, key_bytes);
      else
        prefetch_row(*values, at - tokens, value_bytes);
  }

  /// For formats that have them; apart from the rows, because all others would pay for the question.
  void prefetch_channels() const {
    for (TokenTileRows const* const rows : {keys, values})
      for (int i = 0; i < 8 && rows->channels != nullptr; ++i) __builtin_prefetch(rows->channels + 64 * i, 0, 2);
  }

 private:
  /// Into the second level: the first holds what is worked on.
  [[gnu::always_inline]] static inline void prefetch_row(TokenTileRows const& rows, std::int32_t row,
                                                         std::int32_t bytes) {
    for (std::int32_t i = 0; i < bytes; i += 64) __builtin_prefetch(rows.codes[row] + i, 0, 2);
    if (row % 16 == 0 && rows.params[row] != nullptr) __builtin_prefetch(rows.params[row], 0, 2);  // a line of them
  }
};

/// How codes that lie in two bytes are put a byte apart, 16 at a time: which 16 bytes of the row have them all, and
/// which of these go where.
struct ByteShuffle {
  std::int32_t starts[max_row_dim / 16] = {};  ///< [padded dim / 16] where in the row those 16 bytes begin
  std::uint8_t indices[max_row_dim] = {};  ///< [padded dim] each 8 codes together, from a multiple of 8 on; 128: a zero

  /// For rows of `dim` codes of `bits` bits, padded to multiples of 16 bytes.
  void make(std::int32_t dim, int bits) {
    std::int32_t const row_bytes = (dim * bits / 8 + 15) / 16 * 16;
    for (std::int32_t first = 0; first < (dim + 63) / 64 * 64; first += 16) {
      std::int32_t const begin = first * bits / 8, end = begin + 2 * bits;
      starts[first / 16] = std::clamp(end - 16, 0, row_bytes - 16);
      for (std::int32_t i = 0; i < 16; ++i) {
        std::int32_t const from = begin - starts[first / 16] + i / 8 * bits + i % 8;
        indices[first + i] = i % 8 < bits && from < 16 ? static_cast<std::uint8_t>(from) : 128;
      }
    }
  }
};

/// A tile on its way through the kernels. Element = scale * (code - bias) + offset: the bias is the format's. Where the
/// channels have parameters, too: element = scale * channel scale * (code - bias) + offset * channel offset.
struct TokenTile {
  TokenTileRows const* rows = nullptr;
  PrefetchRows* ahead = nullptr;  ///< what to prefetch meanwhile, or null
  std::int32_t dim = 0;
  std::int32_t tokens = tile_tokens;  ///< no query sees a token after these
  /// Tokens that have rows, scores and weights.
  [[nodiscard]] std::int32_t rows_end() const { return (tokens + row_group - 1) / row_group * row_group; }
  float* scales = nullptr;          ///< [tile_tokens]
  float* offsets = nullptr;         ///< [tile_tokens]
  float* channel_scales = nullptr;  ///< [column], or null; those of padding are 0
  float* channel_offsets = nullptr;
  std::int32_t const* column_dims = nullptr;  ///< whose code is at each column
  std::int32_t columns = 0;
  std::byte* unpacked = nullptr;              ///< what `prepare` made of the rows
  ByteShuffle const* byte_shuffle = nullptr;  ///< where the format needs it
  Basis basis = Basis::model;                 ///< of the stored rows, for those who decode them
  std::int32_t row_dim = 0;
};

[[gnu::always_inline]] inline void prefetch(TokenTile const& tile, std::int32_t rows) {
  if (tile.ahead != nullptr) tile.ahead->prefetch(rows);
}

/// A block of queries as the scores need them: floats, or integers.
struct QueryRows {
  float const* floats = nullptr;  ///< [block_rows][float_stride]
  std::int32_t float_stride = 0;
  float scale = 1;           ///< of the scores of floats
  std::int32_t columns = 0;  ///< of codes, a multiple of 4
  /// [query_words][columns / 4][block_rows][4]; AMX: [columns / 4][block_rows][query_words][4]
  std::int8_t const* words = nullptr;
  float const* scales = nullptr;       ///< [block_rows] of the integers
  float const* totals = nullptr;       ///< [block_rows] the sum of the row's elements
  std::int32_t const* sums = nullptr;  ///< [query_words][block_rows] of the words
};

/// A block of queries, and where some row of it has outliers, what its integers leave of the elements: scores of both
/// are added for those rows.
struct QueryBlock {
  QueryRows rows, rest;
  unsigned outliers = 0;  ///< bits of the rows that have some
};

/// A block of queries before it becomes integers.
struct QueryFloats {
  float const* rows = nullptr;  ///< [block_rows][stride]
  std::int32_t stride = 0, columns = 0;
  float scale = 1;                 ///< of the scores
  float const* largest = nullptr;  ///< [block_rows] magnitudes; not needed where channels have parameters
};

/// Where the integers of such a block go.
struct QueryIntegers {
  std::int8_t* words = nullptr;
  float *scales = nullptr, *totals = nullptr;
  std::int32_t* sums = nullptr;
};

/// The weights of a block of rows as integers.
struct WeightIntegers {
  alignas(64) std::uint8_t words[block_rows * weight_words * tile_tokens];  ///< [row][word][4 tokens]
  float scales[block_rows], shifts[block_rows];  ///< of the integers; the weighted offsets, the same for every dim
  float zero_point_corrections[block_rows];  ///< what the products are too large by; where channels have no scales, in
                                             ///< the shifts
};

/// The weights of a block of rows, and where the weighted values go.
struct WeightRows {
  float const* weights = nullptr;       ///< [block_rows][tile_tokens]
  std::uint8_t const* words = nullptr;  ///< as in WeightIntegers
  float const* scales = nullptr;
  float const* shifts = nullptr;
  float const* zero_point_corrections = nullptr;
  float const* rescale = nullptr;      ///< [block_rows] what the sums so far are multiplied by
  std::int32_t begin = 0, end = 0;     ///< tokens
  std::int32_t num_rows = block_rows;  ///< of which sums are written back
  float* out = nullptr;                ///< [rows][out_stride]
  std::int32_t out_stride = 0;
};

/// What becomes of a row's scores before the softmax: capped, then biased in proportion to the distance.
struct ScoreShape {
  float soft_cap = 0;         ///< cap * tanh(score / cap); 0: they stay
  float slope = 0;            ///< ALiBi
  std::int32_t distance = 0;  ///< of the tile's first token from the query
};

/// The softmax of a row so far: the largest score, and the sum of the weights in units of its exponential.
struct SoftmaxState {
  float max, sum;
  /// Whether nothing was seen. By the bits of the sum, of which a NaN is none.
  [[nodiscard]] bool empty() const { return to_bits(sum) == 0; }
  /// That of this row's tokens and of others.
  [[nodiscard]] SoftmaxState joined(SoftmaxState const& other) const {
    if (other.empty()) return *this;
    if (empty()) return other;
    float const most = max > other.max ? max : other.max;
    return {most, sum * weight(max, most) + other.sum * weight(other.max, most)};
  }
  /// What its sums are multiplied by where they are a share of `all`, which is not empty.
  [[nodiscard]] float share_of(SoftmaxState const& all) const { return weight(max, all.max) / all.sum; }

 private:
  /// exp(score - most). 1 where both are -infinity, as a sink logit may be, whose difference is a NaN.
  [[nodiscard]] static float weight(float score, float most) { return score == most ? 1.0F : std::exp(score - most); }
};

/// The kernels for one format of rows on one set of instructions. What is null is not needed.
struct RowKernels {
  bool is_integer = false;
  bool decodes = false;     ///< `prepare` makes floats of integers, in the model's basis, of up to `few_tokens` tokens
  bool takes_dims = false;  ///< quantize_queries takes rows in the order of the dims
  bool has_channels = false;  ///< TokenTile::channel_scales are needed
  int shuffle_bits = 0;       ///< where not 0, TokenTile::byte_shuffle is needed, for codes of so many
  void (*enter)() = nullptr;  ///< what a thread does before it calls the others
  void (*leave)() = nullptr;  ///< and after them
  /// The largest magnitude of each row of a block, at least 1e-30; what is not finite counts as larger than all
  /// numbers. `stride`: a row's elements, a multiple of 16.
  void (*find_largest)(float const* rows, std::int32_t stride, float* largest) = nullptr;
  /// The rows of a block, as bits, of which most elements, zeros apart, are below a 32nd of the largest. Integers in
  /// units of that keep too little of them; of other queries they lose less than f16 does. None that is not finite.
  unsigned (*find_outliers)(float const* rows, std::int32_t stride, float const* largest) = nullptr;
  /// As folio::change_basis, to the same bits.
  void (*change_basis)(Basis basis, float* row, std::int32_t dim, std::int32_t row_dim) = nullptr;
  /// The same of a block's first `count` rows, one at least, to where they were or elsewhere, and what is then the
  /// largest of each. `stride`: as above. Of `to`, rows from `count` on are zeros: the largest of all four are found.
  void (*rotate_queries)(Basis basis, float const* rows, float* to, std::int32_t count, std::int32_t stride,
                         std::int32_t dim, float* largest) = nullptr;
  void (*load_key_params)(TokenTile const&) = nullptr;  ///< scales and offsets
  void (*load_value_params)(TokenTile const&) = nullptr;
  /// Of rows in the order of the dims, or of the columns. Where channels have parameters: for each tile, whose they
  /// are. Returns a bit for each row that may have outliers.
  unsigned (*quantize_queries)(TokenTile const&, QueryFloats const&, QueryIntegers const&,
                               QueryIntegers const* rest) = nullptr;
  void (*prepare_keys)(TokenTile const&) = nullptr;  ///< lays the tile out in `unpacked`: floats row by row
  void (*prepare_values)(TokenTile const&) = nullptr;
  void (*score)(TokenTile const&, QueryRows const&, float* scores) = nullptr;
  void (*shape_scores)(TokenTile const&, ScoreShape const&, float* scores) = nullptr;  ///< of one row
  void (*online_softmax)(TokenTile const&, float* scores, SoftmaxState* states, float* rescale) = nullptr;
  void (*prepare_weights)(TokenTile const&, float* weights, WeightIntegers&) = nullptr;
  void (*add)(TokenTile const&, WeightRows const&) = nullptr;
  /// A row of sums times `norm`, in the order of the dims.
  void (*read_sums)(float const* sums, std::int32_t dim, float norm, float* out) = nullptr;
  std::int32_t (*key_columns)(std::int32_t dim) = nullptr;    ///< codes in a row
  std::int32_t (*value_columns)(std::int32_t dim) = nullptr;  ///< numbers in a row of sums
  std::int32_t (*key_dim_at)(std::int32_t column,
                             std::int32_t dim) = nullptr;  ///< whose code it is; dim or more: padding
  std::int32_t (*value_dim_at)(std::int32_t column, std::int32_t dim) = nullptr;  ///< whose sum it is
  friend bool operator==(RowKernels const&, RowKernels const&) = default;
};

/// The rows of a plane as they are stored, and the kernels for them.
struct PlaneRows {
  RowKernels kernels;
  std::int32_t code_bytes = 0;  ///< for those who ask memory for a row's codes
  std::int32_t row_dim = 0;     ///< of a latent's values, the key's
  Basis basis = Basis::model;
};

}  // namespace folio::attention

namespace folio::ops::detail {

inline constexpr std::int32_t part_tokens = 1024;  ///< of tokens that are summed by themselves; whole tiles

[[nodiscard]] inline std::size_t to_size(std::int32_t i) { return static_cast<std::size_t>(i); }

}  // namespace folio::ops::detail
