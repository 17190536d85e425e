// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

folio::Version const* version_of_the_other_unit();
folio::Version const* version_of_the_other_unit() { return &folio::version; }
