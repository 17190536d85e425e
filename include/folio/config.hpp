// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The only macros of the library, and the check of the language level.

#if !defined(__cpp_concepts) || __cpp_concepts < 201907L
#error "folio needs C++20 (concepts): compile with -std=c++20 or newer (g++ >= 11, clang++ >= 14, nvcc >= 12)."
#endif

/// Marks what a kernel may call. Nothing for a host compiler, so that the same header is ordinary C++ there.
#if defined(__CUDACC__)
#define FOLIO_HOST_DEVICE __host__ __device__
#else
#define FOLIO_HOST_DEVICE
#endif
