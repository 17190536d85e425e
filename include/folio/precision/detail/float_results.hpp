// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Results of an attention that are worked on before the caller gets them. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/params.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/rows.hpp>
#include <type_traits>
#include <vector>

namespace folio::ops::detail {

/// Rows of results in floats: those of `io` where it has floats, else some in `own` that `finish` stores there.
template <class T, class Out>
class FloatResults {
 public:
  FloatResults(AttentionIo<T, Out> const& io, std::int64_t tokens, std::int32_t dim, std::vector<float>& own)
      : io_(io), dim_(dim), row_(std::int64_t{io.num_query_heads} * dim) {
    folio::detail::check_operands(io, tokens);
    stride_ = folio::detail::checked_stride(io.out_stride, row_, "out");
    if constexpr (!std::is_same_v<Out, float>) {
      own.resize(static_cast<std::size_t>(tokens * row_));
      own_ = own.data();
    }
  }
  [[nodiscard]] float* row(std::int64_t token) {
    if constexpr (std::is_same_v<Out, float>)
      return io_.out + token * stride_;
    else
      return own_ + token * row_;
  }
  [[nodiscard]] std::int64_t stride() const { return std::is_same_v<Out, float> ? stride_ : row_; }
  void finish(std::int64_t token) {
    if constexpr (!std::is_same_v<Out, float>)
      store_activations(row(token), io_.num_query_heads * dim_, io_.out + token * stride_);
  }

 private:
  AttentionIo<T, Out> io_;
  std::int32_t dim_;
  std::int64_t row_, stride_ = 0;
  float* own_ = nullptr;
};

}  // namespace folio::ops::detail
