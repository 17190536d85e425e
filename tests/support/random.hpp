// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random numbers that are the same on every machine, and what random programs are told by the environment.

#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

namespace folio::test {

/// An integer from 0 to n - 1.
inline std::int32_t below(std::mt19937& random, std::int32_t n) {
  return static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(n));
}

/// `count` floats from -range to range.
inline std::vector<float> random_floats(std::int64_t count, std::uint32_t seed, float range = 1.0F) {
  std::mt19937 random(seed);
  std::vector<float> all(static_cast<std::size_t>(count));
  for (float& x : all) x = (static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F) * range;
  return all;
}

/// What an environment variable says, such as FOLIO_SEED.
inline unsigned number_from(char const* variable, unsigned otherwise) {
  char const* const text = std::getenv(variable);
  return text != nullptr ? static_cast<unsigned>(std::atoi(text)) : otherwise;
}

}  // namespace folio::test
