// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Hit rates over capacities, as a table, as JSON, and drawn.

#include <algorithm>
#include <array>
#include <cmath>
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

/// Lines over a logarithmic axis of capacities, each named where it ends. Readable on light and dark ground.
[[nodiscard]] inline std::string to_svg(std::vector<std::int64_t> const& capacities, std::vector<Series> const& all) {
  constexpr double left = 50, right = 590, top = 20, bottom = 360;
  static constexpr std::array<char const*, 9> colors = {"#888888", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b",
                                                        "#17a2b8", "#e45756", "#d62728", "#e08214"};
  double highest = 1;
  for (Series const& series : all)
    for (double const percent : series.percent) highest = std::max(highest, percent);
  highest = std::ceil(highest / 5) * 5;
  double const first = std::log(static_cast<double>(capacities.front()));
  double const last = std::log(static_cast<double>(capacities.back()));
  auto const x = [&](std::int64_t capacity) {
    return left + (right - left) * (std::log(static_cast<double>(capacity)) - first) / (last - first);
  };
  auto const y = [&](double percent) { return bottom - (bottom - top) * percent / highest; };
  std::ostringstream svg;
  svg << std::fixed << std::setprecision(1)
      << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 410\" font-family=\"sans-serif\" "
         "font-size=\"12\" "
         "fill=\"#808080\">\n";
  for (double percent = 0; percent <= highest; percent += 5)
    svg << "<line x1=\"" << left << "\" x2=\"" << right << "\" y1=\"" << y(percent) << "\" y2=\"" << y(percent)
        << "\" stroke=\"#808080\" stroke-opacity=\"0.3\"/><text text-anchor=\"end\" x=\"" << left - 6 << "\" y=\""
        << y(percent) + 4 << "\">" << percent << "%</text>\n";
  for (std::int64_t const capacity : capacities)
    svg << "<text text-anchor=\"middle\" x=\"" << x(capacity) << "\" y=\"" << bottom + 18 << "\">" << capacity
        << "</text>\n";
  svg << "<text text-anchor=\"middle\" x=\"" << (left + right) / 2 << "\" y=\"" << bottom + 38
      << "\">capacity in blocks of 512 tokens; height: blocks found</text>\n";
  double free_from = 1e9;  // names go upwards and do not overlap
  std::vector<std::size_t> order(all.size());
  for (std::size_t s = 0; s < all.size(); ++s) order[s] = s;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return all[a].percent.back() < all[b].percent.back(); });
  for (std::size_t const s : order) {
    svg << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << colors[s % colors.size()] << "\" points=\"";
    for (std::size_t i = 0; i < capacities.size(); ++i) svg << x(capacities[i]) << ',' << y(all[s].percent[i]) << ' ';
    double const at = std::min(free_from, y(all[s].percent.back()) + 4);
    free_from = at - 13;
    svg << "\"/>\n<text fill=\"" << colors[s % colors.size()] << "\" x=\"" << right + 6 << "\" y=\"" << at << "\">"
        << all[s].name << "</text>\n";
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace folio::bench
