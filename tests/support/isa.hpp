// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sets of instructions that the host's kernels are compiled for.

#include <folio/attention/host/isa.hpp>
#include <vector>

namespace folio::test {

/// Those of this machine.
inline std::vector<attention::Isa> machine_sets() {
  using attention::Isa;
  std::vector<Isa> sets;
  for (Isa const isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::amx})
    if (isa <= attention::machine_isa()) sets.push_back(isa);
  return sets;
}

/// Puts back what was in use.
struct UseIsa {
  attention::Isa before = attention::isa_in_use();
  explicit UseIsa(attention::Isa isa) { attention::use_isa(isa); }
  ~UseIsa() { attention::use_isa(before); }
  UseIsa(UseIsa const&) = delete;
  UseIsa& operator=(UseIsa const&) = delete;
};

}  // namespace folio::test
