// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What rounding the keys, or the values, of one layer alone does to the predictions, and which format each should have.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/precision/bit_allocation.hpp>
#include <folio/thread_pool.hpp>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "formats.hpp"
#include "quality.hpp"

namespace evaluate {

/// The format of every plane, at 2 * layer for keys and 2 * layer + 1 for values. Null: f32.
using Assignment = std::vector<Format const*>;

/// What an assignment does.
struct AssignmentLoss {
  double error = 0;  ///< squared error of the rounded rows, as a share of their squares
  double kl = 0;     ///< mean divergence from the f32 predictions, in bits for each token
};

/// One plane of one layer in one format, all others in f32.
struct Sensitivity {
  std::int32_t layer = 0;
  bool keys = true;  ///< else the values
  Format const* format = nullptr;
  double bits_per_element = 0;
  AssignmentLoss loss;

  /// What a unit of relative error costs here: the score is importance times error.
  [[nodiscard]] double importance() const { return loss.error > 0 ? loss.kl / loss.error : 0; }
};

/// A format for every plane within a budget, as folio::allocate_bits chooses it by the scores; or one for all.
struct Plan {
  Assignment formats;
  bool uniform = false;
  double bits_per_element = 0;
  double predicted_kl = 0;  ///< the sum of the planes' scores
  AssignmentLoss loss;      ///< measured, all planes together
};

/// A model, a text, and a store that keeps f32.
class SensitivityRun {
 public:
  using Progress = std::function<void(std::int64_t done, std::int64_t all)>;

  /// `formats` have a round trip and ascend in `bits`, which are theirs.
  SensitivityRun(serve::Llama const& model, std::span<std::span<std::int32_t const> const> windows,
                 std::vector<Format const*> formats, std::vector<double> bits, Store& store, folio::ThreadPool* threads,
                 Progress progress)
      : model_(model),
        windows_(windows),
        formats_(std::move(formats)),
        bits_(std::move(bits)),
        store_(store),
        threads_(threads),
        progress_(std::move(progress)) {}

  /// Every plane in every format. Cost: a pass over the windows for each, and one for the reference.
  [[nodiscard]] std::vector<Sensitivity> scores() const {
    std::vector<Sensitivity> out;
    std::vector<Assignment> assignments;
    for (std::int32_t plane = 0; plane < num_planes(); ++plane)
      for (std::size_t f = 0; f < formats_.size(); ++f) {
        out.push_back({plane / 2, plane % 2 == 0, formats_[f], bits_[f], {}});
        assignments.emplace_back(num_planes())[static_cast<std::size_t>(plane)] = formats_[f];
      }
    std::vector<AssignmentLoss> const losses = measure(assignments);
    for (std::size_t i = 0; i < out.size(); ++i) out[i].loss = losses[i];
    return out;
  }

  /// Every format for all planes, and the plans of the same size and of the sizes between. Cost: a pass for each.
  [[nodiscard]] std::vector<Plan> plans(std::vector<Sensitivity> const& scores) const {
    std::vector<Plan> out;
    for (std::size_t f = 0; f < formats_.size(); ++f) {
      if (f > 0) out.push_back(plan(scores, (bits_[f - 1] + bits_[f]) / 2));
      if (f > 0 && f + 1 < formats_.size()) out.push_back(plan(scores, bits_[f]));
      Plan& uniform = out.emplace_back();
      uniform.uniform = true;
      uniform.formats.assign(static_cast<std::size_t>(num_planes()), formats_[f]);
      uniform.bits_per_element = bits_[f];
      for (std::size_t i = f; i < scores.size(); i += formats_.size()) uniform.predicted_kl += scores[i].loss.kl;
    }
    std::vector<Assignment> assignments;
    for (Plan const& p : out) assignments.push_back(p.formats);
    std::vector<AssignmentLoss> const losses = measure(assignments);
    for (std::size_t i = 0; i < out.size(); ++i) out[i].loss = losses[i];
    return out;
  }

 private:
  [[nodiscard]] std::int32_t num_planes() const { return 2 * model_.config().layers; }

  /// What loses least within `bits` for each element on average.
  [[nodiscard]] Plan plan(std::vector<Sensitivity> const& scores, double bits) const {
    double const elements = static_cast<double>(model_.config().kv_heads) * model_.config().head_dim;  // of a plane
    std::vector<std::vector<folio::FormatCost>> costs(static_cast<std::size_t>(num_planes()));
    for (std::size_t i = 0; i < scores.size(); ++i)
      costs[i / formats_.size()].push_back(
          {scores[i].loss.kl, std::llround(scores[i].bits_per_element * elements / 8)});
    auto const budget = static_cast<std::int64_t>(bits * elements / 8 * num_planes() + 0.5);
    folio::BitAllocation const allocation = folio::allocate_bits(costs, budget);
    Plan out;
    for (int const choice : allocation.choice) out.formats.push_back(formats_[static_cast<std::size_t>(choice)]);
    out.bits_per_element = 8.0 * static_cast<double>(allocation.bytes) / (elements * num_planes());
    out.predicted_kl = allocation.loss;
    return out;
  }

  [[nodiscard]] std::vector<AssignmentLoss> measure(std::vector<Assignment> const& assignments) const {
    std::vector<AssignmentLoss> losses(assignments.size());
    std::vector<double> squares(assignments.size()), errors(assignments.size());
    std::vector<float> reference;
    Runner plain(model_, store_, threads_);
    std::int64_t done = 0;
    for (auto const& window : windows_) {
      read_window(plain, window, reference);
      for (std::size_t i = 0; i < assignments.size(); ++i) {
        auto const disturb = [&](std::int32_t layer, float* keys, float* values, std::int64_t num_rows) {
          auto const plane = static_cast<std::size_t>(2 * layer);
          round_rows(assignments[i][plane], keys, num_rows, squares[i], errors[i]);
          round_rows(assignments[i][plane + 1], values, num_rows, squares[i], errors[i]);
        };
        Runner disturbed(model_, store_, threads_, disturb);
        for (Prediction const& p : compare_window(disturbed, window, reference, model_.config().vocab, threads_))
          losses[i].kl += p.kl;
        progress_(++done, static_cast<std::int64_t>(windows_.size() * assignments.size()));
      }
    }
    for (std::size_t i = 0; i < losses.size(); ++i) {
      losses[i].error = squares[i] > 0 ? errors[i] / squares[i] : 0;
      losses[i].kl /= static_cast<double>(windows_.size() * (windows_.front().size() - 1));
    }
    return losses;
  }

  void round_rows(Format const* format, float* rows, std::int64_t num_rows, double& squares, double& error) const {
    if (format == nullptr) return;
    std::int32_t const dim = model_.config().head_dim;
    std::vector<float> const before(rows, rows + num_rows * dim);
    format->round_trip(rows, num_rows, dim);
    for (std::size_t e = 0; e < before.size(); ++e) {
      double const difference = double{rows[e]} - before[e];
      error += difference * difference;
      squares += double{before[e]} * before[e];
    }
  }

  serve::Llama const& model_;
  std::span<std::span<std::int32_t const> const> windows_;
  std::vector<Format const*> formats_;
  std::vector<double> bits_;
  Store& store_;
  folio::ThreadPool* threads_;
  Progress progress_;
};

}  // namespace evaluate
