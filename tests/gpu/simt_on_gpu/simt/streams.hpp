// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What steers and asks the stand-in for the CUDA runtime does nothing on a GPU. Tests that need more than this have the
// tag [stand_in], and are left out of runs here.

#include <cstdint>
#include <string>
#include <vector>

namespace simt {

inline void streams(std::uint64_t) {}
inline std::int64_t num_host_waits() noexcept { return 0; }
inline std::int64_t num_copies_to_device() noexcept { return 0; }
inline std::int64_t num_copies_to_host() noexcept { return 0; }
inline std::int64_t num_launches() noexcept { return 0; }
inline std::int64_t num_pageable_copies() noexcept { return 0; }
inline void fail_next(std::string const&, int, std::int64_t = 0) {}
inline bool forget_failure() { return true; }
inline std::vector<std::string> leaks() { return {}; }

}  // namespace simt
