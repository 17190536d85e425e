// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What nvcc compiles an operation's kernels for, where all formats are of interest.

#include <folio/folio.hpp>

namespace folio::test {

/// Calls compile.operator()<model, element, policies...>() for every kind of format, layout and model.
template <class Compile>
void for_kernel_formats(Compile const& compile) {
  compile.template operator()<models::llama3_1_8b, float, F32>();
  compile.template operator()<models::llama3_1_8b, Half, F16>();
  compile.template operator()<models::llama3_1_8b, BFloat16, BF16, LayoutNhd>();
  compile.template operator()<models::llama3_1_8b, BFloat16, Fp8E4M3>();
  compile.template operator()<models::llama3_1_8b, Half, Int8PerToken>();
  compile.template operator()<models::llama3_1_8b, Half, Int4Rotated, LayoutInterleaved>();
  compile.template operator()<models::llama3_1_8b, Half, Keys<Int8PerToken>, Values<Int4Rotated>>();
  compile.template operator()<models::gemma3_27b, BFloat16, Int8PerToken, LayoutInterleaved, BlockSizes<32, 16>>();
  compile.template operator()<models::deepseek_v3, BFloat16, BF16>();
}

}  // namespace folio::test
