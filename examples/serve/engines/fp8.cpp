// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores 8-bit floats.

#include "engines.hpp"
#include "make_paged_engine.hpp"

namespace serve {

std::unique_ptr<Engine> make_fp8_engine(Llama const& model, std::vector<Tokens> const& prompts,
                                        EngineOptions const& options) {
  return make_paged_engine<folio::Fp8E4M3>(model, prompts, options);
}

}  // namespace serve
