// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// For tests of what only the shadow memory sees: in other builds they say that they did not run.

#include "simt/runner.hpp"
//
#include "support/catch.hpp"

/// Whether the shadow memory is there; where it is not, the case that asks says that it did not run.
inline bool has_shadow_memory() {
  if (simt::checks_memory()) return true;
  WARN("not run: it is for the shadow memory, which this build has not");
  return false;
}
