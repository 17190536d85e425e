// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The formats that evaluate is compiled for.

#include <cstdint>
#include <folio/with_model.hpp>
#include <memory>
#include <span>
#include <string_view>

#include "store.hpp"

namespace evaluate {

/// The head dims that caches are compiled for.
using HeadDims = folio::HeadDims<64, 128>;

/// A store for the model. Throws folio::NotBuilt when none is compiled for its head dim.
using MakeStore = std::unique_ptr<Store>(StoreRequest const& request);
/// Encodes and decodes rows of `dim` floats in place: what a cache would have given back.
using RoundTrip = void(float* rows, std::int64_t num_rows, std::int32_t dim);

/// How keys and values are stored.
struct Format {
  std::string_view name;          ///< what --formats calls it
  std::string_view keys, values;  ///< what it is
  MakeStore* make;
  RoundTrip* round_trip;  ///< of the sensitivity scores; null: keys and values differ, or rows are not stored alone
};

/// All of them, the reference first: the lines of formats/formats.cmake.
[[nodiscard]] std::span<Format const> all_formats();

}  // namespace evaluate
