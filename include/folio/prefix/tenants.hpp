// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whose prefixes may a tenant find? Isolation, written into scopes and symbols. Host only.

#include <cstdint>
#include <folio/error.hpp>
#include <folio/prefix/key_table.hpp>
#include <folio/prefix/prefix.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace folio {

/// Tenant isolation: what of a tenant's prompts others may share, and so can notice by how fast they are answered.
enum class Isolation : std::uint8_t {
  own_space,       ///< nothing: whoever else has the same prompt computes it again
  public_opening,  ///< the public tokens that a prompt begins with (a system prompt), and nothing after them
  all_shared,      ///< everything
};

/// A tenant as its prefixes know it.
struct TenantSpace {
  Isolation isolation = Isolation::own_space;
  /// What tells this tenant from all others. A secret, where others must not be able to name it. Not needed where all
  /// is shared.
  std::string_view salt = {};
};

/// A prefix that owns its symbols.
struct OwnedPrefix {
  std::vector<std::int32_t> symbols;
  std::int32_t scope = 0;

  /// Refers to `symbols`: of a temporary good as an argument, and no longer.
  operator Prefix() const { return {symbols, scope}; }  // NOLINT(google-explicit-constructor): it is one
};

/// The prefix of a tenant's prompt, of which the first `num_public_tokens` are public; how many matters for
/// Isolation::public_opening only. `scope` and `attributes` say what else changes keys and values; that the tenant is
/// kept apart is added to them.
///
/// Another tenant finds exactly what the isolation says: two tenants' prefixes are the same symbol by symbol as long as
/// both are public, and never where one is not. Two tenants of the same salt are one. Throws Error for an empty salt
/// where one is needed, a number of public tokens that the prompt does not have, a scope that has a salt already, or as
/// KeyTable::symbols does.
[[nodiscard]] inline OwnedPrefix tenant_prefix(KeyTable& keys, TenantSpace const& tenant,
                                               std::span<std::int32_t const> tokens, std::int32_t num_public_tokens = 0,
                                               PrefixScope scope = {},
                                               std::span<PrefixAttribute const> attributes = {}) {
  if (!scope.salt.empty())
    throw Error(
        "folio: the scope of a tenant's prefix has a salt already; leave it empty, or make the prefix without "
        "tenant_prefix");
  if (tenant.isolation == Isolation::all_shared) return {keys.symbols(tokens, attributes), keys.scope(scope)};
  if (tenant.salt.empty())
    throw Error("folio: a tenant that is kept apart needs a salt of its own; without one it would share with all");
  if (tenant.isolation == Isolation::own_space) {
    scope.salt = tenant.salt;
    return {keys.symbols(tokens, attributes), keys.scope(scope)};
  }
  auto const size = static_cast<std::int64_t>(tokens.size());
  if (num_public_tokens < 0 || num_public_tokens > size)
    throw Error("folio: a prompt of " + std::to_string(size) + " tokens cannot begin with " +
                std::to_string(num_public_tokens) + " public ones");
  std::vector<PrefixAttribute> all(attributes.begin(), attributes.end());
  if (num_public_tokens < size)
    all.push_back({PrefixAttribute::Kind::salt, tenant.salt, num_public_tokens, PrefixAttribute::to_the_end});
  return {keys.symbols(tokens, all), keys.scope(scope)};
}

}  // namespace folio
