// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a program says and returns when it ends, and what stands in for standard streams that it was started without.

#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>

#include "bad_input.hpp"
#include "utf8.hpp"

#if __has_include(<unistd.h>)
#include <fcntl.h>
#include <unistd.h>
#endif

namespace serve {

/// Opens /dev/null in the place of each standard stream that is closed, for reading: an input is empty, and what is
/// written is an error. Else the next file that is opened would be standard output, or get what is meant for standard
/// error. Throws BadInput where there is no /dev/null.
inline void open_closed_streams() {
#if __has_include(<unistd.h>)
  for (int stream = 0; stream < 3; ++stream)
    if (::fcntl(stream, F_GETFD) == -1 && ::open("/dev/null", O_RDONLY) != stream)  // the lowest number that is free
      throw BadInput("A standard stream is closed, and /dev/null cannot be opened in its place.");
#endif
}

/// Runs `body`, which returns the exit status, and writes what it throws to standard error, as a sentence after the
/// program's name: then the status is 2 for a BadOption, else 1. It is 1, with a sentence, too, when not all that was
/// printed could be written, as on a full disk. To be called first in main.
template <class Body>
[[nodiscard]] int run_program(std::string_view name, Body const& body) {
  auto const fail = [name](std::string_view why, int status) {
    std::cerr << name << ": " << replace_invalid_utf8(why) << std::endl;
    return status;
  };
  try {
    open_closed_streams();
    int const status = body();
    if (!std::cout.flush()) throw BadInput("Standard output cannot be written: not all is there.");
    return status;
  } catch (BadOption const& error) {
    return fail(error.what(), 2);
  } catch (std::bad_alloc const&) {
    return fail("There is not enough memory for this model and these options.", 1);
  } catch (std::exception const& error) {
    return fail(error.what(), 1);
  }
}

}  // namespace serve
