// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

namespace folio {

/// A name made of parts when the program is compiled: "int4_symmetric_g32_rotated".
struct FormatName {
  char text[48] = {};

  constexpr FormatName& add(char const* part) {
    char* to = std::find(text, text + sizeof(text), '\0');
    while (*part != '\0') *to++ = *part++;
    return *this;
  }
  constexpr FormatName& add(int number) {
    if (number >= 10) add(number / 10);
    char const digit[2] = {static_cast<char>('0' + number % 10), '\0'};
    return add(digit);
  }
};

}  // namespace folio
