// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine {
  static constexpr char const* name = "mine";
#ifdef FOLIO_EXPECT_OK
  static constexpr folio::Accessibility accessibility = folio::Accessibility::device;
#else
  static constexpr folio::Accessibility accessible = folio::Accessibility::device;
#endif
  std::byte* allocate(std::int64_t, std::int64_t) { return nullptr; }
  void deallocate(std::byte*, std::int64_t) noexcept {}
};
// expected-error: this allocator is none: it needs a name, `accessibility`, which says who can read its memory
static_assert(folio::KvCache<folio::Model<tiny>, Mine>::num_groups == 1);
