// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cache whose rows are stored in a basis that matrices give. Host only.

#include <cstdint>
#include <folio/batch.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <folio/precision/rotation_matrices.hpp>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace folio {

/// A step's tables and the matrices that belong to them.
template <class Tables>
struct RotatedBatch {
  Tables tables;
  std::shared_ptr<RotationMatrices const> matrices;

  [[nodiscard]] auto view() const { return RotatedView<decltype(tables.view())>{tables.view(), matrices.get()}; }
};

/// Rotated cache: a KvCache and the basis that all its rows are stored in, from the first one on; those that it
/// demotes, too. The matrices are fixed when it is made and go wherever its views go. Where its format rotates too,
/// that comes after the matrices. Latent layers, whose values are a part of their keys, are refused.
template <class Cache>
class RotatedCache {
  [[nodiscard]] static constexpr bool has_latent() {
    for (int g = 0; g < Cache::model.num_groups(); ++g)
      if (Cache::model.groups[g].kind == AttentionKind::latent) return true;
    return false;
  }
  static_assert(
      !has_latent(),
      "folio::RotatedCache: the values of a latent layer are the beginning of its keys, which a matrix mixes");

 public:
  /// Throws Error when the matrices are not for the cache's layers, kv heads and dims.
  RotatedCache(Cache cache, RotationMatrices matrices)
      : cache_(std::move(cache)), matrices_(std::make_shared<RotationMatrices const>(std::move(matrices))) {
    std::int32_t layers = 0;
    for (int g = 0; g < Cache::model.num_groups(); ++g) layers += cache_.shape(g).layers;
    if (layers != matrices_->num_layers())
      throw Error("folio: matrices for " + std::to_string(matrices_->num_layers()) + " layers do not fit a cache of " +
                  std::to_string(layers));
    for (std::int32_t l = 0; l < layers; ++l) {
      GroupShape const& shape = cache_.shape(cache_.pattern().place(l).group);
      LayerMatrices const& m = matrices_->layer(l);
      if (m.kv_heads != shape.kv_heads || m.key_dim != shape.key_dim || m.value_dim != shape.value_dim)
        throw Error("folio: the matrices of layer " + std::to_string(l) + " are for " + std::to_string(m.kv_heads) +
                    " kv heads of " + std::to_string(m.key_dim) + " and " + std::to_string(m.value_dim) +
                    " dims, but the cache has " + std::to_string(shape.kv_heads) + " of " +
                    std::to_string(shape.key_dim) + " and " + std::to_string(shape.value_dim));
    }
  }

  template <class... Arguments>
  [[nodiscard]] auto create(Arguments&&... arguments) {
    return cache_.create(std::forward<Arguments>(arguments)...);
  }
  [[nodiscard]] auto batch(std::span<BatchItem const> items, BatchPadding const& padding = {}) {
    return RotatedBatch<decltype(cache_.batch(items, padding))>{cache_.batch(items, padding), matrices_};
  }
  [[nodiscard]] auto batch(std::initializer_list<BatchItem> items, BatchPadding const& padding = {}) {
    return batch(std::span(items.begin(), items.size()), padding);
  }
  /// Of a cache that demotes: see there.
  template <class... Arguments>
  std::int32_t demote(Arguments&&... arguments) requires Cache::has_demotion {
    return cache_.demote(std::forward<Arguments>(arguments)...);
  }

  [[nodiscard]] Cache const& stored() const noexcept { return cache_; }
  [[nodiscard]] Cache& stored() noexcept { return cache_; }
  [[nodiscard]] RotationMatrices const& matrices() const noexcept { return *matrices_; }

 private:
  Cache cache_;
  std::shared_ptr<RotationMatrices const> matrices_;
};

}  // namespace folio
