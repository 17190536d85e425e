// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores keys in 8 bits, values in 4.

#include "engines.hpp"
#include "make_paged_engine.hpp"

namespace serve {

std::unique_ptr<Engine> make_k8v4_engine(Llama const& model, std::vector<Tokens> const& prompts,
                                         EngineOptions const& options) {
  return make_paged_engine<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>(model, prompts,
                                                                                                options);
}

}  // namespace serve
