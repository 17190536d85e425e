// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Hit rates over capacities, as a table and as JSON, which bench/plots/draw.py draws.

#include <cstdint>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

namespace folio::bench {

/// What a policy found, in percent, at each capacity.
struct Series {
  std::string name;
  std::vector<double> percent;
};

[[nodiscard]] inline std::string to_table(std::vector<std::int64_t> const& capacities, std::vector<Series> const& all) {
  std::ostringstream text;
  text << std::left << std::setw(14) << "capacity" << std::right;
  for (std::int64_t const capacity : capacities) text << std::setw(9) << capacity;
  text << '\n' << std::fixed << std::setprecision(2);
  for (Series const& series : all) {
    text << std::left << std::setw(14) << series.name << std::right;
    for (double const percent : series.percent) text << std::setw(8) << percent << '%';
    text << '\n';
  }
  return text.str();
}

[[nodiscard]] inline std::string to_json(std::string const& traffic, std::vector<std::int64_t> const& capacities,
                                         std::vector<Series> const& all) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(3) << "{\"traffic\":\"" << traffic << "\",\"capacity_blocks\":[";
  for (std::size_t i = 0; i < capacities.size(); ++i) text << (i > 0 ? "," : "") << capacities[i];
  text << "],\"hit_percent\":{";
  for (std::size_t s = 0; s < all.size(); ++s) {
    text << (s > 0 ? "," : "") << '"' << all[s].name << "\":[";
    for (std::size_t i = 0; i < all[s].percent.size(); ++i) text << (i > 0 ? "," : "") << all[s].percent[i];
    text << ']';
  }
  text << "}}\n";
  return text.str();
}

}  // namespace folio::bench
