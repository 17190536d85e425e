// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
#pragma GCC system_header  // it is allowed #include_next
// Where the toolkit is at hand, the runner takes its vectors from it, and with them would come the toolkit's whole API.
// Here that counts as included. Without the toolkit nobody includes this.

#define __CUDA_RUNTIME_API_H__
#define __DRIVER_TYPES_H__
// clang-format off
#include <vector_types.h>  // first: its macros
#include_next <vector_functions.h>
// clang-format on
