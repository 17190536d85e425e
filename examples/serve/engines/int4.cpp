// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores rotated 4-bit integers.

#include "engines.hpp"
#include "make_paged_engine.hpp"

namespace serve {

std::unique_ptr<Engine> make_int4_engine(Llama const& model, std::vector<Tokens> const& prompts,
                                         EngineOptions const& options) {
  return make_paged_engine<folio::Int4Rotated>(model, prompts, options);
}

}  // namespace serve
