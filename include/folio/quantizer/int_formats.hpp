// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The names of the integer formats of rows. Every other combination of bits, levels, group size, basis and cuts is an
// IntQuantizer of its own, written the same way.
//
// Bits per element are at 128. Errors are mean squared errors on normally distributed rows of 128, of the variance.

#include <folio/quantizer/int_quantizer.hpp>

namespace folio {

/// Integers from -127 to 127 times one float per row (token and head): the row's largest magnitude divided by 127.
/// 8.25 bits, error 4.1e-5. As in vLLM's "int8_per_token_head".
///
/// Encoding reads the row twice, decoding is a conversion and a multiplication. Error at most half a scale: a row
/// within [-2, 2] has the scale 2/127 and errors up to 1/127. A NaN is stored as 0, an infinity as the row's largest
/// finite magnitude; rows below 2e-36 become zeros. The first format to try: next to no loss at half the bytes of BF16.
/// Choose Int4Rotated for half of that.
using Int8PerToken = IntQuantizer<8, Levels::symmetric, 0, Basis::model>;

/// The same with an f16 scale for each `GroupSize` elements, so that an outlier costs accuracy in its own group only.
/// Groups of 32 are what ggml calls q8_0: 8.5 bits, error 2.9e-5. The codes are those of the scale as f16 rounded it.
template <std::int32_t GroupSize>
using Int8PerGroup = IntQuantizer<8, Levels::symmetric, GroupSize, Basis::model>;

/// Integers from 0 to 63, an f16 scale and an f16 minimum per row: 6.25 bits, error 5.6e-4, less than that of fp8 e4m3
/// at three quarters of its bytes. `Int6Rotated` withstands outliers.
using Int6PerToken = IntQuantizer<6, Levels::asymmetric, 0, Basis::model>;
using Int6Rotated = IntQuantizer<6, Levels::asymmetric, 0, Basis::hadamard>;

/// Integers from 0 to 15, an f16 scale and an f16 minimum per row: 4.25 bits. The error is 9.0e-3 as long as a row has
/// no outliers, and many times that where it has: keys do. Choose Int4Rotated, or groups. As in QServe's KV4
/// (arXiv 2405.04532).
using Int4PerToken = IntQuantizer<4, Levels::asymmetric, 0, Basis::model, 92>;

/// The same for each `GroupSize` elements, not cut. Groups of 32 are like ggml's q4_1: 5 bits, error 6.1e-3.
template <std::int32_t GroupSize>
using Int4PerGroup = IntQuantizer<4, Levels::asymmetric, GroupSize, Basis::model>;

/// A row rotated by `hadamard_rotate`, then as Int4PerToken: 4.25 bits, error 9.0e-3 (9.9e-3 without the cut), with
/// outliers too. The design of SAW-INT4 (arXiv 2604.19157) and vLLM's "int4_per_token_head".
///
/// 92 percent of the range is the best cut at 128; longer rows want less (256: 88, 1024: 80), rows of 64 or shorter 96
/// or more. Without a cut an element's error in the rotated basis is at most about half a scale, 1/30 of the rotated
/// row's range. Choose Int8PerToken where the last tenths of a percent of accuracy count.
using Int4Rotated = IntQuantizer<4, Levels::asymmetric, 0, Basis::hadamard, 92>;

/// The same with integers from 0 to 7: 3.25 bits, error 3.4e-2 (4.6e-2 without a cut). Eight elements lie in three
/// bytes, so kernels read 8 and more at once.
using Int3Rotated = IntQuantizer<3, Levels::asymmetric, 0, Basis::hadamard, 85, 75>;

/// The same with integers from 0 to 3: 2.25 bits, error 0.117, as much as the best four values for that distribution
/// leave, from rows of 64 (0.110) to 1024 (0.123). Without a cut it is 0.25 and of no use: that is what QuaRot
/// (arXiv 2404.00456) stores. For old tokens rather than for all.
using Int2Rotated = IntQuantizer<2, Levels::asymmetric, 0, Basis::hadamard, 70, 58, 48>;

static_assert(QuantizerPolicy<Int8PerToken> && QuantizerPolicy<Int8PerGroup<32>> && QuantizerPolicy<Int6PerToken> &&
              QuantizerPolicy<Int6Rotated> && QuantizerPolicy<Int4PerToken> && QuantizerPolicy<Int4PerGroup<32>> &&
              QuantizerPolicy<Int4Rotated> && QuantizerPolicy<Int3Rotated> && QuantizerPolicy<Int2Rotated>);

}  // namespace folio
