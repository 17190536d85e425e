// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rotations that a user gives: an orthonormal matrix for each layer and kv head. Host only.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// The matrices of one layer, for its keys and for its values: [kv_heads][dim][dim], row-major; a row x is stored as
/// M x. Empty: stored as it is.
struct LayerMatrices {
  std::int32_t kv_heads = 0, key_dim = 0, value_dim = 0;
  std::vector<float> keys = {}, values = {};
};

template <class View>
struct RotatedView;

/// Rotation matrices, a basis policy: `KvCache<Model<m>, Int4PerToken, RotationMatrices>(config, matrices)` stores all
/// rows in their basis, from the first one on; those that it demotes, too. Where a format rotates, that comes after the
/// matrices. They are fixed when the cache is made and go wherever its views go. Latent layers, whose values are a part
/// of their keys, are refused. Host only.
///
/// A basis for every kv head of every layer, computed outside from a model's activations: OSCAR's
/// (github.com/FutureMLS-Lab/OSCAR), SpinQuant's (arXiv 2405.16406), a principal basis. One for each kv head: one
/// shared by a layer is much worse. Checked once, immutable, read by any number of threads.
class RotationMatrices {
 public:
  static constexpr bool rotates = true;
  template <class View>
  using ViewOf = RotatedView<View>;
  static constexpr double tolerance = 1e-4;

  /// By layer of the model. Throws Error for a matrix of the wrong size, or one that is not orthonormal: an element of
  /// M M^T further than `tolerance` from the identity's, by which dot products would change. Cost: O(dim^3) each.
  explicit RotationMatrices(std::vector<LayerMatrices> layers) : layers_(std::move(layers)) {
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      check(l, "keys", layers_[l].keys, layers_[l].kv_heads, layers_[l].key_dim);
      check(l, "values", layers_[l].values, layers_[l].kv_heads, layers_[l].value_dim);
    }
  }

  /// Whether they can be for a model.
  [[nodiscard]] static constexpr bool fits(ModelConfig const& model) {
    for (int g = 0; g < model.num_groups(); ++g)
      if (model.groups[g].kind == AttentionKind::latent) return false;
    return true;
  }
  /// Throws Error when they are not for a cache's layers, kv heads and dims. `shapes`: by layer group, or more.
  void check_fits(std::span<GroupShape const> shapes, LayerPattern const& pattern) const {
    std::int32_t all = 0;
    for (int g = 0; g < max_groups; ++g)
      if (pattern.count(g, pattern.period) > 0) all += shapes[static_cast<std::size_t>(g)].layers;
    if (all != num_layers())
      throw Error("folio: matrices for " + std::to_string(num_layers()) + " layers do not fit a cache of " +
                  std::to_string(all));
    for (std::int32_t l = 0; l < all; ++l) {
      GroupShape const& shape = shapes[static_cast<std::size_t>(pattern.place(l).group)];
      LayerMatrices const& m = layer(l);
      if (m.kv_heads != shape.kv_heads || m.key_dim != shape.key_dim || m.value_dim != shape.value_dim)
        throw Error("folio: the matrices of layer " + std::to_string(l) + " are for " + std::to_string(m.kv_heads) +
                    " kv heads of " + std::to_string(m.key_dim) + " and " + std::to_string(m.value_dim) +
                    " dims, but the cache has " + std::to_string(shape.kv_heads) + " of " +
                    std::to_string(shape.key_dim) + " and " + std::to_string(shape.value_dim));
    }
  }

  [[nodiscard]] std::int32_t num_layers() const noexcept { return static_cast<std::int32_t>(layers_.size()); }
  /// Throws Error for a layer that there is not.
  [[nodiscard]] LayerMatrices const& layer(std::int32_t layer) const {
    if (layer < 0 || layer >= num_layers()) throw no_such_layer(layer);
    return layers_[static_cast<std::size_t>(layer)];
  }

 private:
  static void check(std::size_t layer, char const* what, std::vector<float> const& all, std::int32_t heads,
                    std::int32_t dim) {
    auto const d = static_cast<std::size_t>(dim);
    auto const name = [&] { return std::string(what) + " of layer " + std::to_string(layer); };
    if (!all.empty() && all.size() != static_cast<std::size_t>(heads) * d * d)
      throw Error("folio: the matrices for " + name() + " have " + std::to_string(all.size()) + " elements, not " +
                  std::to_string(heads) + " x " + std::to_string(dim) + " x " + std::to_string(dim) +
                  "; give none where rows are stored as they are");
    for (std::size_t row = 0; row * d < all.size(); ++row)
      for (std::size_t other = row / d * d; other <= row; ++other) {
        double sum = 0;
        for (std::size_t i = 0; i < d; ++i) sum += double{all[row * d + i]} * double{all[other * d + i]};
        if (is_nan(static_cast<float>(sum)) || std::fabs(sum - (row == other ? 1.0 : 0.0)) > tolerance)
          throw Error("folio: the matrix for " + name() + ", kv head " + std::to_string(row / d) +
                      ", is not orthonormal: rows " + std::to_string(other % d) + " and " + std::to_string(row % d) +
                      " have the dot product " + std::to_string(sum));
      }
  }

  std::vector<LayerMatrices> layers_;
};

/// Rotated view: a step of a cache with RotationMatrices. Its operations (folio/precision/rotated_ops.hpp) rotate rows
/// into the cache's basis and back by themselves; so a query in another basis than its keys cannot be written. `stored`
/// is the view of the rows as they are stored, for kernels that rotate queries and outputs themselves.
template <class View>
struct RotatedView {
  static constexpr int num_groups = View::num_groups, num_lists = View::num_lists;
  using StoredView = View;

  View stored;
  RotationMatrices const* matrices;

  [[nodiscard]] std::int32_t num_sequences() const { return stored.num_sequences(); }
  [[nodiscard]] std::int32_t num_query_tokens() const { return stored.num_query_tokens(); }
  [[nodiscard]] std::int32_t query_start(std::int32_t i) const { return stored.query_start(i); }
};

namespace ops {

/// `out` = M x for the row-major matrix M of dim x dim, or M^T x, its inverse. `out` is not `x`. dim is a multiple
/// of 8.
inline void rotate_by(float const* matrix, float const* x, std::int32_t dim, bool back, float* out) {
  for (std::int32_t i = 0; i < dim; ++i) out[i] = 0;
  for (std::int32_t i = 0; i < dim; ++i) {
    float const* const row = matrix + std::int64_t{i} * dim;
    if (back) {
      for (std::int32_t d = 0; d < dim; ++d) out[d] += row[d] * x[i];
    } else {
      float lanes[8] = {};
      for (std::int32_t d = 0; d < dim; d += 8)
        for (int j = 0; j < 8; ++j) lanes[j] += row[d + j] * x[d + j];
      out[i] = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    }
  }
}

/// Rotates rows [num_tokens][num_heads][dim], by the matrix of each one's kv head, into `out`, or back. num_heads is a
/// multiple of kv_heads, as query heads are. `matrices` as in LayerMatrices, not empty.
inline void rotate_rows(std::vector<float> const& matrices, std::int32_t kv_heads, std::int32_t dim, float const* rows,
                        std::int64_t num_tokens, std::int32_t num_heads, bool back, float* out) {
  for (std::int64_t row = 0; row < num_tokens * num_heads; ++row) {
    auto const kv_head = static_cast<std::int32_t>(row % num_heads) / (num_heads / kv_heads);
    rotate_by(matrices.data() + std::int64_t{kv_head} * dim * dim, rows + row * dim, dim, back, out + row * dim);
  }
}

}  // namespace ops

}  // namespace folio
