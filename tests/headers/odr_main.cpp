// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Two units of one program include the umbrella: a function that is not inline fails to link, and a variable that is
// not inline has two addresses.
#include <folio/folio.hpp>

folio::Version const* version_of_the_other_unit();

int main() { return version_of_the_other_unit() == &folio::version ? 0 : 1; }
