// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Quality against size, as a picture.

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "tables.hpp"

namespace evaluate {

/// An SVG of two panels over the bits per element: the bits per byte over f32, and the divergence from f32, both
/// logarithmic. What is below a panel, because the format is as good as f32 for this text, stands on its floor as a
/// hollow mark.
class Picture {
 public:
  explicit Picture(Report const& report) : report_(report) {
    for (FormatReport const& format : report.formats)
      if (&format != &report.formats.front()) least_bits_ = std::min(least_bits_, format.bits_per_element);
  }

  [[nodiscard]] std::string svg() {
    out_.imbue(std::locale::classic());
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << 2 * panel_height + 40
         << "\" viewBox=\"0 0 " << width << " " << 2 * panel_height + 40
         << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    std::vector<Point> over, kl;
    for (FormatReport const& format : report_.formats) {
      if (&format == &report_.formats.front()) continue;
      over.push_back({format.bits_per_element, format.quality.over_reference, std::string(format.name)});
      kl.push_back({format.bits_per_element, format.quality.kl_mean, std::string(format.name)});
    }
    std::string const f32 = serve::spell_number(report_.formats.front().quality.bits, 4);
    draw(0, over, -5, "bits per " + report_.unit + " over f32, which takes " + f32 + " (" + report_.model + ")");
    draw(panel_height, kl, -8, "divergence from f32, bits per token");
    text((left + right) / 2.0, 2 * panel_height + 22, "middle", "bits per element of the cache");
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  static constexpr int width = 900, panel_height = 380, left = 70, right = 780, margin = 36;
  static constexpr double most_bits = 16;

  struct Point {
    double bits, loss;
    std::string name;
  };

  /// From one to the power of ten that holds all points.
  struct Scale {
    int top, floor_decade, ceiling_decade;  // top: of the panel

    [[nodiscard]] double y(double loss) const {
      double const decade = std::max(std::log10(std::max(loss, 1e-30)), static_cast<double>(floor_decade));
      double const share = (decade - floor_decade) / (ceiling_decade - floor_decade);
      return top + panel_height - margin - share * (panel_height - 2 * margin);
    }
    [[nodiscard]] bool below(double loss) const { return loss <= std::pow(10.0, floor_decade); }
  };

  [[nodiscard]] double x(double bits) const {
    double const low = std::log2(least_bits_) - 0.2, high = std::log2(most_bits) + 0.1;
    return left + (std::log2(bits) - low) / (high - low) * (right - left);
  }

  void text(double at_x, double at_y, char const* anchor, std::string const& words) {
    out_ << "<text x=\"" << at_x << "\" y=\"" << at_y << "\" text-anchor=\"" << anchor << "\" fill=\"#222\">" << words
         << "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2) {
    out_ << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2 << "\" stroke=\"#ddd\"/>\n";
  }

  void draw(int top, std::vector<Point> const& points, int floor_decade, std::string const& title) {
    double most = std::pow(10.0, floor_decade + 1);
    for (Point const& point : points) most = std::max(most, point.loss);
    Scale const scale{top, floor_decade, static_cast<int>(std::ceil(std::log10(most)))};
    for (int decade = floor_decade; decade <= scale.ceiling_decade; ++decade) {
      double const at = scale.y(std::pow(10.0, decade));
      line(left, at, right, at);
      std::string const power = "1e" + std::to_string(decade);
      text(left - 8, at + 4, "end", decade == 0 ? "1" : power);
    }
    for (double const bits : {1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0}) {
      if (x(bits) < left) continue;
      line(x(bits), top + margin, x(bits), top + panel_height - margin);
      text(x(bits), top + panel_height - margin + 18, "middle", std::to_string(static_cast<int>(bits)));
    }
    text(left, top + margin - 14, "start", title);
    draw_points(scale, points);
  }

  /// What a name or a mark covers.
  struct Box {
    double left, right, upper, lower;

    [[nodiscard]] bool meets(Box const& other) const {
      return left < other.right && other.left < right && upper < other.lower && other.upper < lower;
    }
  };

  /// Names stand beside their marks, and a little higher or lower where there is no room.
  void draw_points(Scale const& scale, std::vector<Point> const& points) {
    std::vector<Box> taken;
    for (Point const& point : points) {
      double const at_x = x(point.bits), at_y = scale.y(point.loss);
      taken.push_back({at_x - 5, at_x + 5, at_y - 5, at_y + 5});
      out_ << "<circle cx=\"" << at_x << "\" cy=\"" << at_y
           << "\" r=\"4\" stroke=\"#1f6fb2\" stroke-width=\"1.5\" fill=\""
           << (scale.below(point.loss) ? "white" : "#1f6fb2") << "\"/>\n";
    }
    for (Point const& point : points) {
      double const at_x = x(point.bits), at_y = scale.y(point.loss),
                   length = 6.6 * static_cast<double>(point.name.size());
      Box box{};
      bool on_right = true;
      for (int tries = 0; tries < 80; ++tries) {
        on_right = tries % 2 == 0;
        double const begin = on_right ? at_x + 8 : at_x - 8 - length;
        double const shift = 3.0 * (tries / 4) * (tries % 4 < 2 ? 1 : -1);
        box = {begin, begin + length, at_y + shift - 6, at_y + shift + 6};
        if (std::none_of(taken.begin(), taken.end(), [&](Box const& other) { return box.meets(other); })) break;
      }
      taken.push_back(box);
      text(on_right ? box.left : box.right, box.lower - 2, on_right ? "start" : "end", point.name);
    }
  }

  Report const& report_;
  double least_bits_ = most_bits;
  std::ostringstream out_;
};

}  // namespace evaluate
