// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The queries of attention as its kernels take them: floats, or integers and what these leave. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/host/token_tile.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <new>
#include <vector>

namespace folio::ops::detail {

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

/// The queries of a task, as the key format's kernels take them, in whole blocks of rows.
template <class = void>
class PackedQueries {
 public:
  /// Makes room for rows of `dim` elements. `dims`: whose code is at each column, where the kernels take integers;
  /// `in_order`: each at its own. Takes from the heap only what is more than ever before.
  void begin(attention::RowKernels const& kernels, std::int32_t const* dims, bool in_order, std::int32_t rows,
             std::int32_t dim) {
    at_ = floats_.data();
    std::int32_t const columns = kernels.is_integer ? kernels.key_columns(dim) : 0;
    bool const apart = columns != 0 && !kernels.takes_dims && !in_order;
    if (quantize_ == kernels.quantize_queries && placed_apart_ == apart && dims_ == dims && dim_ == dim &&
        columns_ == columns && num_rows_ == rows)
      return;
    num_rows_ = 0;  // ready for none, should there be no memory
    quantize_ = kernels.quantize_queries;
    find_largest_ = kernels.find_largest;
    find_outliers_ = kernels.find_outliers;
    rotate_queries_ = kernels.rotate_queries;
    for_each_tile_ = kernels.has_channels;
    dims_ = dims;
    dim_ = dim;
    columns_ = columns;
    rows_ = (rows + attention::block_rows - 1) / attention::block_rows * attention::block_rows;
    placed_apart_ = apart;
    stride_ = std::max((dim + 15) / 16 * 16, placed_apart_ ? 0 : columns_);
    floats_.resize(to_size(rows_) * to_size(stride_));
    at_ = floats_.data();
    std::fill(floats_.begin() + std::int64_t{rows} * stride_, floats_.end(), 0.0F);  // what fills the last block
    placed_.resize(placed_apart_ ? to_size(for_each_tile_ ? rows_ : attention::block_rows) * to_size(columns_) : 0);
    largest_.resize(to_size(rows_));
    outliers_.resize(columns_ != 0 ? to_size(rows_ / attention::block_rows) : 0);
    given_.resize(outliers_.size());
    first_.resize(columns_ != 0 ? rows_ : 0, columns_);
    rest_.resize(columns_ != 0 ? rows_ : 0, columns_);
    num_rows_ = rows;
  }

  /// Rows [i, i + count): queries of the model's basis, one after the other.
  void set_rows(std::int32_t i, std::int32_t count, float const* q) {
    if (stride_ == dim_) {
      std::copy_n(q, to_size(count) * to_size(dim_), row(i));
      return;
    }
    for (std::int32_t r = 0; r < count; ++r)
      std::fill(std::copy_n(q + std::int64_t{r} * dim_, dim_, row(i + r)), row(i + r) + stride_, 0.0F);
  }
  /// Whether all rows can be read where they are, one after the other, instead of being set. Kernels of floats read
  /// them again for each few keys of the `tokens` that are seen: more than some they read from whole cache lines.
  [[nodiscard]] bool can_use(float const* q, std::int32_t tokens) const {
    bool const in_lines = reinterpret_cast<std::uintptr_t>(q) % 64 == 0;
    return num_rows_ == rows_ && stride_ == dim_ && (columns_ != 0 || in_lines || tokens <= attention::row_group);
  }
  /// They must stay as long as these queries are used.
  void use_rows(float const* q) { at_ = q; }

  /// After all rows are set: rotates them to the keys' basis, and finds the largest of each. An outlier is spread by
  /// rotation: all elements are large then, and their integers have no place for what the others differ by.
  void prepare(Basis basis) {
    bool const turns = basis != Basis::model;
    for (std::int32_t i = 0; i < rows_; i += attention::block_rows) {
      float* const largest = largest_.data() + i;
      if (columns_ != 0) {
        find_largest_(at(i), stride_, largest);
        given_[to_size(i / attention::block_rows)] =
            static_cast<std::uint8_t>(turns ? find_outliers_(at(i), stride_, largest) : 0U);
      }
      if (turns)
        rotate_queries_(basis, at(i), row(i), std::min(num_rows_ - i, attention::block_rows), stride_, dim_, largest);
    }
    if (turns) at_ = floats_.data();
  }

  /// After `prepare`: what their scores are multiplied by.
  void finish(float scale) {
    scale_ = scale;
    for (std::int32_t i = 0; columns_ != 0 && i < rows_; i += attention::block_rows) {
      if (placed_apart_) place(i);
      if (for_each_tile_)
        find_outliers(i, 15U);
      else if (find_outliers(i, quantize(i, {}, false)) != 0)
        quantize(i, {}, true);
    }
  }

  /// The block of rows that begins at `i`, to be used with the tile `keys`.
  [[nodiscard]] attention::QueryBlock block(std::int32_t i, attention::TokenTile const& keys) {
    attention::QueryBlock block;
    block.rows.floats = at(i);
    block.rows.float_stride = stride_;
    block.rows.scale = scale_;
    if (columns_ == 0) return block;
    block.outliers = outliers_[to_size(i / attention::block_rows)];
    if (for_each_tile_) quantize(i, keys, block.outliers != 0);
    first_.show(i, columns_, block.rows);
    if (block.outliers != 0) rest_.show(i, columns_, block.rest);
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

  /// The block of rows that begins at `i`, in the order of the columns.
  void place(std::int32_t i) {
    float* const to = placed_.data() + to_size(for_each_tile_ ? i : 0) * to_size(columns_);
    for (std::int32_t r = 0; r < attention::block_rows; ++r)
      for (std::int32_t column = 0; column < columns_; ++column)
        to[r * columns_ + column] = dims_[column] < dim_ ? at_[(i + r) * std::int64_t{stride_} + dims_[column]] : 0.0F;
  }
  [[nodiscard]] float const* at(std::int32_t i) const { return at_ + std::int64_t{i} * stride_; }
  [[nodiscard]] float* row(std::int32_t i) { return floats_.data() + to_size(i) * to_size(stride_); }
  /// Judges the rows of a block that `rows` has the bits of. Which have outliers, or had some before they were rotated.
  unsigned find_outliers(std::int32_t i, unsigned rows) {
    if (rows != 0) rows &= find_outliers_(at(i), stride_, largest_.data() + i);
    rows |= given_[to_size(i / attention::block_rows)];
    outliers_[to_size(i / attention::block_rows)] = static_cast<std::uint8_t>(rows);
    return rows;
  }
  unsigned quantize(std::int32_t i, attention::TokenTile const& keys, bool with_rest) {
    attention::QueryFloats q{at(i), stride_, columns_, scale_, largest_.data() + i};
    if (placed_apart_) {
      q.rows = placed_.data() + to_size(for_each_tile_ ? i : 0) * to_size(columns_);
      q.stride = columns_;
    }
    if (!with_rest) return quantize_(keys, q, first_.block(i, columns_), nullptr);
    attention::QueryIntegers const rest = rest_.block(i, columns_);
    return quantize_(keys, q, first_.block(i, columns_), &rest);
  }

  unsigned (*quantize_)(attention::TokenTile const&, attention::QueryFloats const&, attention::QueryIntegers const&,
                        attention::QueryIntegers const*) = nullptr;
  void (*find_largest_)(float const*, std::int32_t, float*) = nullptr;
  unsigned (*find_outliers_)(float const*, std::int32_t, float const*) = nullptr;
  void (*rotate_queries_)(Basis, float const*, float*, std::int32_t, std::int32_t, std::int32_t, float*) = nullptr;
  bool for_each_tile_ = false, placed_apart_ = false;
  std::int32_t const* dims_ = nullptr;
  std::int32_t dim_ = 0, stride_ = 0, num_rows_ = 0, rows_ = 0, columns_ = 0;
  float scale_ = 1;
  float const* at_ = nullptr;                   // the rows: those of `floats_`, or the caller's
  AlignedVector<float> floats_, placed_;        // by dims, and by columns
  std::vector<float> largest_;                  // magnitude of each row, where integers are in units of that
  std::vector<std::uint8_t> outliers_, given_;  // of each block, the rows that have some, or were given with some
  Integers first_, rest_;                       // the second of rows with outliers
};

}  // namespace folio::ops::detail
