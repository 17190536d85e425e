// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sets of instructions that the host's kernels are compiled for.

#include <folio/attention/host/isa.hpp>
#include <vector>

namespace folio::test {

/// Those of this machine.
inline std::vector<simd::Isa> machine_sets() {
  using simd::Isa;
  std::vector<Isa> sets;
  for (Isa const isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::amx})
    if (isa <= simd::machine_isa()) sets.push_back(isa);
  return sets;
}

/// Puts back what was in use.
struct UseIsa {
  simd::Isa before = simd::isa_in_use();
  explicit UseIsa(simd::Isa isa) { simd::use_isa(isa); }
  ~UseIsa() { simd::use_isa(before); }
  UseIsa(UseIsa const&) = delete;
  UseIsa& operator=(UseIsa const&) = delete;
};

}  // namespace folio::test
