// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which policy answers which question: sorts the template arguments of KvCache by their concepts. Host only.

#include <folio/allocator/host.hpp>
#include <folio/block.hpp>
#include <folio/eviction/eviction.hpp>
#include <folio/layout/hnd.hpp>
#include <folio/model.hpp>
#include <folio/prefix/events.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/formats.hpp>
#include <folio/quantizer/hadamard.hpp>
#include <type_traits>
#include <utility>

namespace folio {

/// Key format: stores keys with `Q`, whatever values are stored with. `KvCache<Keys<Int8PerToken>, Values<Int4Rotated>,
/// ...>`. One for all layer groups, or one for each.
template <QuantizerPolicy... Q>
struct Keys {
  using KeyQuantizer = typename detail::OneOrFormats<Q...>::type;
};

/// Value format: stores values with `Q`, likewise.
template <QuantizerPolicy... Q>
struct Values {
  using ValueQuantizer = typename detail::OneOrFormats<Q...>::type;
};

template <class P>
concept KeysPolicy = requires {
  typename P::KeyQuantizer;
};
template <class P>
concept ValuesPolicy = requires {
  typename P::ValueQuantizer;
};

/// The questions that a policy can answer.
enum class PolicyKind {
  unknown,
  model,
  block_size,
  quantizer,
  keys,
  values,
  layout,
  allocator,
  eviction,
  events,
  demotion,
  basis
};

/// Demotion policy: what older tokens are demoted to; folio/precision/demote.hpp has it.
template <class P>
concept DemotionPolicy = requires {
  requires std::same_as<decltype(P::demotes), bool const>;
};
/// Without one: every token stays in the one format.
struct NoDemotion {
  static constexpr bool demotes = false;
  template <class View, class Blocks>
  using ViewOf = View;
  template <class Cache>
  struct Operations {};
};

/// Basis policy: the basis that all rows are stored in, whatever a format rotates besides;
/// folio/precision/rotation_matrices.hpp has it.
template <class P>
concept BasisPolicy = requires {
  requires std::same_as<decltype(P::rotates), bool const>;
};
/// Without one: rows are as the model gives them.
struct ModelBasis {
  static constexpr bool rotates = false;
  template <class View>
  using ViewOf = View;
};

template <class P>
[[nodiscard]] constexpr PolicyKind kind_of() {
  if constexpr (ModelPolicy<P>)
    return PolicyKind::model;
  else if constexpr (BlockSizePolicy<P>)
    return PolicyKind::block_size;
  else if constexpr (FormatPolicy<P>)
    return PolicyKind::quantizer;
  else if constexpr (LayoutPolicy<P>)
    return PolicyKind::layout;
  else if constexpr (detail::gives_memory<P>) {
    static_assert(
        AllocatorPolicy<P>,
        "folio: this allocator is none: it needs a name, `accessibility`, which says who can read its memory, "
        "allocate, and deallocate, which is noexcept; see folio/allocator/allocator.hpp");
    return PolicyKind::allocator;
  } else if constexpr (detail::names_victims<P>) {
    static_assert(
        EvictionPolicy<P>,
        "folio: this policy of eviction is none: it needs a name, add, remove, shrunk, victim and reserve, and "
        "all that it has but reserve and prepare must be noexcept; and `hears` must name each event of which it has "
        "the member, and no other: hit, stored, removed, inserted, prepare, over_quota; and one that hears stored, "
        "removed or inserted says in `wants_keys` whether it wants keys; see folio/eviction/eviction.hpp");
    return PolicyKind::eviction;
  } else if constexpr (detail::hears_changes<P>) {
    static_assert(EventSink<P>,
                  "folio: this sink of events is none: `hears` must name each event of which it has the member, and no "
                  "other: stored, removed, cleared, evicting, looked_up, inserted, time_set, all noexcept; see "
                  "folio/prefix/events.hpp");
    return PolicyKind::events;
  } else if constexpr (DemotionPolicy<P>)
    return PolicyKind::demotion;
  else if constexpr (BasisPolicy<P>)
    return PolicyKind::basis;
  else if constexpr (KeysPolicy<P>)
    return PolicyKind::keys;
  else if constexpr (ValuesPolicy<P>)
    return PolicyKind::values;
  else
    return PolicyKind::unknown;
}

namespace detail {

/// The first of `Policies` of the kind, or `Default`. Class templates, which share what they found of a list's end: a
/// function that walks the list is compiled anew for each kind of each cache.
template <PolicyKind kind, class Default, class... Policies>
struct FirstOfKind {
  using type = Default;
};
template <PolicyKind kind, class Default, class P, class... Rest>
struct FirstOfKind<kind, Default, P, Rest...> : FirstOfKind<kind, Default, Rest...> {};
template <PolicyKind kind, class Default, class P, class... Rest>
requires(kind_of<P>() == kind) struct FirstOfKind<kind, Default, P, Rest...> {
  using type = P;
};
template <PolicyKind kind, class Default, class... Policies>
using Pick = typename FirstOfKind<kind, Default, Policies...>::type;

template <class T, class... All>
inline constexpr bool is_once = (0 + ... + (std::is_same_v<T, All> ? 1 : 0)) == 1;

/// Of objects that were given, the one of type T; else one that is made by T's default constructor.
template <class T>
[[nodiscard]] T given_or_default() {
  static_assert(
      std::is_default_constructible_v<T>,
      "folio::KvCache: a policy of this cache has no default constructor: give an object of it to the cache's "
      "constructor, KvCache(config, policy)");
  return T();
}
template <class T, class First, class... Rest>
[[nodiscard]] T given_or_default(First& first, Rest&... rest) {
  if constexpr (std::is_same_v<T, First>)
    return std::move(first);
  else
    return given_or_default<T>(rest...);
}

/// `Q` for keys and for values, or each of Formats.
template <class Q>
struct BothFormats {
  using KeyQuantizer = Q;
  using ValueQuantizer = Q;
};
template <class... Each>
struct BothFormats<Formats<Each...>> : Keys<Each...>, Values<Each...> {};

}  // namespace detail

/// Whether the values of latent layers, the beginning of their keys, are whole blocks of their format's rotation, in
/// the groups from `Group` on.
template <FormatPolicy F, ModelConfig Config, int Group = 0>
[[nodiscard]] constexpr bool latent_fits_rotation() {
  if constexpr (Group < Config.num_groups()) {
    constexpr LayerGroup group = Config.groups[Group];
    if constexpr (FormatIn<F, Group>::basis != Basis::model && group.kind == AttentionKind::latent)
      if (group.latent_rank % hadamard_block(group.latent_rank + group.rope_dims) != 0) return false;
    return latent_fits_rotation<F, Config, Group + 1>();
  }
  return true;
}

/// The policies of a cache, sorted, with the documented defaults for those not given:
/// BlockSize<16>, F16, LayoutHnd, HostAllocator. A model has no default; without an eviction policy there is no prefix
/// tree.
template <class... Policies>
struct PolicySet {
  template <PolicyKind kind>
  static constexpr int count = (0 + ... + (kind_of<Policies>() == kind ? 1 : 0));

  static constexpr bool has_model = count<PolicyKind::model> > 0;

  using ModelType = detail::Pick<PolicyKind::model, Model<ModelConfig{}>, Policies...>;
  using Blocks = detail::Pick<PolicyKind::block_size, BlockSize<16>, Policies...>;
  using Quantizer = detail::Pick<PolicyKind::quantizer, F16, Policies...>;
  using KeyQuantizer =
      typename detail::Pick<PolicyKind::keys, detail::BothFormats<Quantizer>, Policies...>::KeyQuantizer;
  using ValueQuantizer =
      typename detail::Pick<PolicyKind::values, detail::BothFormats<Quantizer>, Policies...>::ValueQuantizer;
  using Layout = detail::Pick<PolicyKind::layout, LayoutHnd, Policies...>;
  using Allocator = detail::Pick<PolicyKind::allocator, HostAllocator, Policies...>;

  /// Whether prefixes are kept, because a policy says which of them go.
  static constexpr bool has_prefixes = count<PolicyKind::eviction> > 0;
  using Eviction = detail::Pick<PolicyKind::eviction, void, Policies...>;
  using Events = detail::Pick<PolicyKind::events, NoEvents, Policies...>;
  using Demotion = detail::Pick<PolicyKind::demotion, NoDemotion, Policies...>;
  using BasisOfRows = detail::Pick<PolicyKind::basis, ModelBasis, Policies...>;

  /// Whether an object of type P can be given to the cache's constructor.
  template <class P>
  static constexpr bool has_object = std::is_same_v<P, Allocator> || std::is_same_v<P, BasisOfRows> ||
                                     (has_prefixes && (std::is_same_v<P, Eviction> || std::is_same_v<P, Events>));

  /// Whether a bare quantizer is given although keys and values both have one of their own.
  static constexpr bool has_idle_quantizer =
      count<PolicyKind::quantizer> > 0 && count<PolicyKind::keys> > 0 && count<PolicyKind::values> > 0;
};

namespace detail {

/// What is said once of the format and the blocks of a cache, or of what it demotes to.
template <class Set>
struct CheckFormat {
  static_assert(Set::template count<PolicyKind::block_size> <= 1,
                "folio: two block sizes are given; keep one, or write BlockSizes<a, b> for one per layer group");
  static_assert(Set::template count<PolicyKind::quantizer> <= 1,
                "folio: two quantizers are given; keep one, or write Keys<A> and Values<B>, or Formats<A, B> for one "
                "per layer group");
  static_assert(Set::template count<PolicyKind::keys> <= 1 && Set::template count<PolicyKind::values> <= 1,
                "folio: Keys<> or Values<> is given twice; keep one of each");
  static_assert(!Set::has_idle_quantizer,
                "folio: a quantizer is given beside Keys<> and Values<>, which leave it nothing to store; remove it");
  static_assert(Set::template count<PolicyKind::layout> <= 1, "folio: two layouts are given; keep one");
};

}  // namespace detail

}  // namespace folio
