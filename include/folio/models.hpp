// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Named configurations of published models, from their config.json. `Model<folio::models::llama3_1_8b>`.

#include <folio/model.hpp>

namespace folio::models {

inline constexpr ModelConfig llama3_1_8b{.layers = 32, .kv_heads = 8, .head_dim = 128};
inline constexpr ModelConfig llama3_1_70b{.layers = 80, .kv_heads = 8, .head_dim = 128};
inline constexpr ModelConfig qwen3_8b{.layers = 36, .kv_heads = 8, .head_dim = 128};

/// Mistral 7B v0.1: every layer sees the last 4,096 tokens (arXiv:2310.06825).
inline constexpr ModelConfig mistral_7b{.layers = 32, .kv_heads = 8, .head_dim = 128, .groups = {sliding_window(4096)}};

/// Gemma 3 (arXiv:2503.19786): five layers with a window of 1,024 tokens, then one that sees all.
inline constexpr ModelConfig gemma3_4b{.layers = 34,
                                       .kv_heads = 4,
                                       .head_dim = 256,
                                       .groups = {sliding_window(1024), full_attention()},
                                       .pattern = repeat_groups({0, 0, 0, 0, 0, 1})};
inline constexpr ModelConfig gemma3_12b{.layers = 48,
                                        .kv_heads = 8,
                                        .head_dim = 256,
                                        .groups = {sliding_window(1024), full_attention()},
                                        .pattern = repeat_groups({0, 0, 0, 0, 0, 1})};
inline constexpr ModelConfig gemma3_27b{.layers = 62,
                                        .kv_heads = 16,
                                        .head_dim = 128,
                                        .groups = {sliding_window(1024), full_attention()},
                                        .pattern = repeat_groups({0, 0, 0, 0, 0, 1})};

/// gpt-oss 20B: layers alternate between a window of 128 tokens and full attention.
inline constexpr ModelConfig gpt_oss_20b{.layers = 24,
                                         .kv_heads = 8,
                                         .head_dim = 64,
                                         .groups = {sliding_window(128), full_attention()},
                                         .pattern = repeat_groups({0, 1})};

/// DeepSeek-V3 (arXiv:2412.19437): a latent of 512 elements and 64 rotary ones for each token and layer.
inline constexpr ModelConfig deepseek_v3{.layers = 61, .kv_heads = 1, .head_dim = 576, .groups = {latent(512, 64)}};

}  // namespace folio::models
