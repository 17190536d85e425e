// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One function for each quantizer, each in a file of its own, because each compiles a cache for every head dim.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "../engine.hpp"

namespace serve {

/// The head dims that caches are compiled for.
inline constexpr std::int32_t supported_head_dims[] = {32, 64, 80, 96, 128, 256};

/// An engine, or nullptr when the model's head dim is none of supported_head_dims.
using MakeEngine = std::unique_ptr<Engine>(Llama const& model, std::vector<Tokens> const& prompts,
                                           EngineOptions const& options);

MakeEngine make_f32_engine, make_f16_engine, make_bf16_engine, make_fp8_engine, make_int8_engine, make_int4_engine,
    make_k8v4_engine;

/// What --quantizer calls them.
inline constexpr struct {
  std::string_view name;
  MakeEngine* make;
} engine_makers[] = {
    {"f32", make_f32_engine},   {"f16", make_f16_engine},   {"bf16", make_bf16_engine}, {"fp8", make_fp8_engine},
    {"int8", make_int8_engine}, {"int4", make_int4_engine}, {"k8v4", make_k8v4_engine},
};

}  // namespace serve
