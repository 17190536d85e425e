// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The queries of attention as its kernels take them: floats, or integers and what these leave. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/host/token_tile.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <new>
#include <vector>

namespace folio::ops::detail {

[[nodiscard]] inline std::size_t to_size(std::int32_t i) { return static_cast<std::size_t>(i); }

/// Whole cache lines: a wide load across two takes twice as long.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(AlignedAllocator<U> const&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{64}); }
  friend bool operator==(AlignedAllocator, AlignedAllocator) { return true; }
};
template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

/// Whether most of a query's elements, zeros apart, are below a 32nd of its largest. Integers in units of that keep too
/// little of them; of other queries they lose less than f16 does. Not of a query that is not finite.
[[nodiscard]] inline bool has_outliers(float const* q, std::int32_t dim) {
  std::uint32_t largest = 0;
  for (std::int32_t d = 0; d < dim; ++d) largest = std::max(largest, to_bits(q[d]) & 0x7FFFFFFFU);
  std::uint32_t const limit = to_bits(to_float(largest) * (1.0F / 32));
  std::int32_t small = 0, all = 0;
  for (std::int32_t d = 0; d < dim; ++d) {
    std::uint32_t const magnitude = to_bits(q[d]) & 0x7FFFFFFFU;
    all += magnitude != 0 ? 1 : 0;
    small += magnitude != 0 && magnitude < limit ? 1 : 0;
  }
  return largest < 0x7F800000U && 2 * small > all;
}

/// The queries of a task, as the key format's kernels take them, in whole blocks of rows.
class PackedQueries {
 public:
  /// Makes room for rows of `dim` elements. `dims`: whose code is at each column, where the kernels take integers;
  /// `in_order`: each at its own. Takes from the heap only what is more than ever before.
  void begin(attention::RowKernels const& kernels, std::int32_t const* dims, bool in_order, std::int32_t rows,
             std::int32_t dim) {
    quantize_ = kernels.quantize_queries;
    for_each_tile_ = kernels.has_channels;
    dims_ = dims;
    in_order_ = in_order;
    dim_ = dim;
    stride_ = (dim + 15) / 16 * 16;
    rows_ = (rows + attention::block_rows - 1) / attention::block_rows * attention::block_rows;
    columns_ = kernels.is_integer ? kernels.key_columns(dim) : 0;
    floats_.resize(to_size(rows_) * to_size(stride_));
    std::fill(floats_.begin() + std::int64_t{rows} * stride_, floats_.end(), 0.0F);  // what fills the last block
    if (columns_ == 0) return;
    placed_.resize(to_size(for_each_tile_ ? rows_ : attention::block_rows) * to_size(columns_));
    outliers_.assign(to_size(rows_), 0);
    first_.resize(rows_, columns_);
    rest_.resize(rows_, columns_);
  }

  /// Rows [i, i + count): queries of the model's basis, one after the other, times `scale`.
  void set_rows(std::int32_t i, std::int32_t count, float const* q, float scale) {
    float* const to = row(i);
    if (stride_ == dim_) {  // one long loop
      for (std::int32_t d = 0; d < count * dim_; ++d) to[d] = q[d] * scale;
    } else {
      for (std::int32_t r = 0; r < count; ++r)
        for (std::int32_t d = 0; d < dim_; ++d) to[r * stride_ + d] = q[r * dim_ + d] * scale;
    }
    for (std::int32_t r = i; r < i + count && columns_ != 0; ++r)
      outliers_[to_size(r)] = has_outliers(row(r), dim_) ? 1 : 0;
  }
  /// A row that was set, to be rotated to the keys' basis.
  [[nodiscard]] float* row(std::int32_t i) { return floats_.data() + to_size(i) * to_size(stride_); }

  /// After all rows are set.
  void finish() {
    for (std::int32_t i = 0; columns_ != 0 && i < rows_; ++i) {
      float const* const from = floats_.data() + to_size(i) * to_size(stride_);
      float* const to = placed_row(i);
      if (in_order_) {
        std::copy_n(from, dim_, to);
        std::fill(to + dim_, to + columns_, 0.0F);
      } else {
        for (std::int32_t column = 0; column < columns_; ++column)
          to[column] = dims_[column] < dim_ ? from[dims_[column]] : 0.0F;
      }
      if (!for_each_tile_ && (i + 1) % attention::block_rows == 0) quantize(i + 1 - attention::block_rows, {});
    }
  }

  /// The block of rows that begins at `i`, to be used with the tile `keys`.
  [[nodiscard]] attention::QueryBlock block(std::int32_t i, attention::TokenTile const& keys) {
    attention::QueryBlock block;
    block.rows.floats = floats_.data() + to_size(i) * to_size(stride_);
    block.rows.float_stride = stride_;
    if (columns_ == 0) return block;
    if (for_each_tile_) quantize(i, keys);
    first_.show(i, columns_, block.rows);
    if (!any_outlier(i)) return block;
    rest_.show(i, columns_, block.rest);
    block.outliers = outliers_.data() + i;
    return block;
  }

 private:
  /// Rows as integers.
  struct Integers {
    std::vector<float> scales, totals;
    AlignedVector<std::int8_t> words;
    std::vector<std::int32_t> sums;

    void resize(std::int32_t rows, std::int32_t columns) {
      words.resize(to_size(rows) * to_size(columns * attention::query_words));
      scales.resize(to_size(rows));
      totals.resize(to_size(rows));
      sums.resize(to_size(rows * attention::query_words));
    }
    [[nodiscard]] attention::QueryIntegers block(std::int32_t i, std::int32_t columns) {
      return {words.data() + to_size(i) * to_size(columns * attention::query_words), scales.data() + i,
              totals.data() + i, sums.data() + i * attention::query_words};
    }
    void show(std::int32_t i, std::int32_t columns, attention::QueryRows& to) {
      attention::QueryIntegers const at = block(i, columns);
      to.columns = columns;
      to.words = at.words;
      to.scales = at.scales;
      to.totals = at.totals;
      to.sums = at.sums;
    }
  };

  [[nodiscard]] float* placed_row(std::int32_t i) {
    return placed_.data() + to_size(for_each_tile_ ? i : i % attention::block_rows) * to_size(columns_);
  }
  [[nodiscard]] bool any_outlier(std::int32_t i) const {
    auto const first = outliers_.begin() + i;
    return std::find(first, first + attention::block_rows, 1) != first + attention::block_rows;
  }
  void quantize(std::int32_t i, attention::TokenTile const& keys) {
    attention::QueryIntegers rest;
    if (any_outlier(i)) rest = rest_.block(i, columns_);
    quantize_(keys, placed_row(i), columns_, first_.block(i, columns_), any_outlier(i) ? &rest : nullptr);
  }

  void (*quantize_)(attention::TokenTile const&, float const*, std::int32_t, attention::QueryIntegers const&,
                    attention::QueryIntegers const*) = nullptr;
  bool for_each_tile_ = false, in_order_ = false;
  std::int32_t const* dims_ = nullptr;
  std::int32_t dim_ = 0, stride_ = 0, rows_ = 0, columns_ = 0;
  AlignedVector<float> floats_, placed_;  // by dims, and by columns
  std::vector<std::uint8_t> outliers_;
  Integers first_, rest_;  // the second of rows with outliers
};

}  // namespace folio::ops::detail
