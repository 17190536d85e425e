// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Matrix times vectors, so that a token's numbers never depend on its company: every output is one dot product with one
// fixed order of additions, whatever the number of tokens beside it and the number of threads. This is what makes
// --check exact. With the instructions of AVX2 and AVX-512 (folio::attention::isa_in_use) a product and its addition
// are rounded together, so there the last bits are others than without them.

#include <cstdint>
#include <folio/thread_pool.hpp>
#include <vector>

#include "tensor_files.hpp"

namespace serve {

/// Sum of a[i] * b[i], in one order of additions.
[[nodiscard]] float dot(float const* a, float const* b, std::int64_t n);

/// A linear layer: y = W x + bias. The weights stay in their file and in their storage type.
struct Linear {
  Matrix weight;
  std::vector<float> bias;  ///< empty: none
};

/// out[token][row] = sum over cols of weight[row][col] * x[token][col] (+ bias[row]), for `num_tokens` rows of x.
/// `out` and x must not overlap. Cost: with few tokens that of reading the weights, with many that of their
/// multiply-adds.
void matmul(Linear const& linear, float const* x, std::int64_t num_tokens, float* out, folio::ThreadPool* threads);

}  // namespace serve
