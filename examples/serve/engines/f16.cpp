// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores 16-bit floats.

#include "engines.hpp"
#include "make_paged_engine.hpp"

namespace serve {

std::unique_ptr<Engine> make_f16_engine(Llama const& model, std::vector<Tokens> const& prompts,
                                        EngineOptions const& options) {
  return make_paged_engine<folio::F16>(model, prompts, options);
}

}  // namespace serve
