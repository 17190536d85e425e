// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// From the name of a quantizer to the engine that was compiled for it.

#include <string>

#include "bad_input.hpp"
#include "engines/engines.hpp"

namespace serve {

std::unique_ptr<Engine> make_engine(std::string_view quantizer, Llama const& model, std::vector<Tokens> const& prompts,
                                    EngineOptions const& options) {
  auto const list = [](auto const& elements, auto const& spell) {
    std::string out;
    for (auto const& element : elements) out += (out.empty() ? "" : ", ") + spell(element);
    return out;
  };
  MakeEngine* make = nullptr;
  for (auto const& [name, function] : engine_makers)
    if (name == quantizer) make = function;
  if (!make)
    throw BadInput("There is no quantizer " + std::string(quantizer) + "; known are " +
                   list(engine_makers, [](auto const& m) { return std::string(m.name); }) + ".");
  std::unique_ptr<Engine> engine = make(model, prompts, options);
  if (!engine)
    throw BadInput("The model's head_dim is " + std::to_string(model.config().head_dim) + "; serve is compiled for " +
                   list(supported_head_dims, [](std::int32_t dim) { return std::to_string(dim); }) + ".");
  return engine;
}

}  // namespace serve
