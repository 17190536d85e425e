// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores bfloat16.

#include "engines.hpp"
#include "make_paged_engine.hpp"

namespace serve {

std::unique_ptr<Engine> make_bf16_engine(Llama const& model, std::vector<Tokens> const& prompts,
                                         EngineOptions const& options) {
  return make_paged_engine<folio::BF16>(model, prompts, options);
}

}  // namespace serve
