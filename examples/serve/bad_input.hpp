// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the program says when a file, an option or a prompt cannot be used: one sentence, and nothing was changed.

#include <stdexcept>

namespace serve {

/// Something that the user gave cannot be used. The message names it and says what would be right.
struct BadInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A command line that makes no sense; the program exits with 2 instead of 1.
struct BadOption : BadInput {
  using BadInput::BadInput;
};

}  // namespace serve
