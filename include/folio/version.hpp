// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which release is this? The only place where the version is written: CMake reads the line of `version` below.

#include <compare>

namespace folio {

/// A release number, ordered as releases are: `static_assert(folio::version >= folio::Version{0, 1, 0});`
struct Version {
  int major, minor, patch;

  friend constexpr auto operator<=>(Version const&, Version const&) = default;
};

inline constexpr Version version{0, 1, 0};

}  // namespace folio
