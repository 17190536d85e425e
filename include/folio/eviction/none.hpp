// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <folio/eviction/eviction.hpp>

namespace folio {

/// No eviction: what is kept first stays, and extensions that find no free block fail.
///
/// Host only, free of cost, no state. For prompts that are known to fit (a fixed set of system prompts, warmed up), and
/// to see in a measurement what the others are worth. Only `PrefixIndex::clear` takes something away under it;
/// unpinning and releasing do not. A cache without any eviction policy keeps no prefixes at all, which is another
/// thing.
class NoEviction {
 public:
  static constexpr char const* name = "none";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  void reserve(std::size_t) noexcept {}
  void add(EvictionEntry&) noexcept {}
  void remove(EvictionEntry&) noexcept {}
  void shrunk(EvictionEntry&) noexcept {}
  [[nodiscard]] std::nullptr_t victim(double) const noexcept { return nullptr; }
};
static_assert(EvictionPolicy<NoEviction>);

}  // namespace folio
