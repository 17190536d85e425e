// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which format does each group of layers have? Host and device: only types.

#include <folio/quantizer/quantizer.hpp>
#include <type_traits>

namespace folio {

/// Mixed precision by layer: a format for each layer group, as BlockSizes gives each its block size.
/// `KvCache<Model<m>, Formats<F16, Int4Rotated>>` stores group 0 in F16 and group 1 in Int4Rotated. Layers that attend
/// alike and are stored otherwise are groups of their own: `LayerGroups{full_attention(), full_attention()}`, with a
/// pattern that may be dynamic, so that which layers get more bits is known at run time (allocate_bits).
template <QuantizerPolicy... Each>
struct Formats {
  static_assert(sizeof...(Each) > 0, "folio::Formats: name a format for each layer group, or one for all");
};

namespace detail {

template <class Format, int Group>
struct FormatIn {
  using type = Format;
};
/// Of a group below 0, any one: the format that all have, or void.
template <class First, class... Rest, int Group>
struct FormatIn<Formats<First, Rest...>, Group> {
  using type = typename FormatIn<Formats<Rest...>, Group - 1>::type;
};
template <class First, class... Rest>
struct FormatIn<Formats<First, Rest...>, 0> {
  using type = First;
};
template <class First, class... Rest>
struct FormatIn<Formats<First, Rest...>, -1> {
  using type = std::conditional_t<(std::is_same_v<First, Rest> && ...), First, void>;
};

/// One format by itself, several as Formats.
template <class... Each>
struct OneOrFormats {
  using type = Formats<Each...>;
};
template <class One>
struct OneOrFormats<One> {
  using type = One;
};

template <class F>
inline constexpr int num_formats = 1;
template <class... Each>
inline constexpr int num_formats<Formats<Each...>> = sizeof...(Each);

template <class F>
inline constexpr bool is_formats = false;
template <class... Each>
inline constexpr bool is_formats<Formats<Each...>> = true;

}  // namespace detail

/// Format policy: one quantizer for all layer groups, or Formats.
template <class F>
concept FormatPolicy = QuantizerPolicy<F> || detail::is_formats<F>;

/// The quantizer of a group.
template <FormatPolicy F, int Group>
using FormatIn = typename detail::FormatIn<F, Group>::type;

}  // namespace folio
