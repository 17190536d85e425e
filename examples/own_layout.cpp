// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A layout of one's own, plugged into the cache: a plain struct that meets LayoutPolicy.

#include <cmath>
#include <cstdint>
#include <folio/folio.hpp>
#include <iostream>
#include <random>
#include <vector>

// [layout]
/// Head-major, but the 16-byte runs of a row are turned by the row's slot: run r of slot s is stored as run r + s.
/// Copied to shared memory as it is, the same run of neighbouring slots then lies in different banks.
struct LayoutSkewed {
  static constexpr char const* name = "skewed";
  static constexpr std::int32_t run = 16;  // bytes of a row that lie together, so the widest load

  FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(folio::Plane) { return run; }
  FOLIO_HOST_DEVICE static constexpr bool whole_heads(folio::Plane) { return true; }  // a head's rows lie together

  FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(folio::Plane plane, folio::PlaneExtent extent,
                                                              std::int32_t head, std::int32_t slot, std::int32_t byte) {
    std::int32_t const num_runs = extent.row_bytes / run;  // rows of codes are a multiple of 16 bytes
    return param_offset(plane, extent, head, slot) + (byte / run + slot) % num_runs * run + byte % run;
  }

  FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(folio::Plane, folio::PlaneExtent extent,
                                                               std::int32_t head, std::int32_t slot) {
    return (std::int64_t{head} * extent.slots + slot) * extent.row_bytes;
  }
};
static_assert(folio::LayoutPolicy<LayoutSkewed>);
// [/layout]

namespace {

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
constexpr int num_tokens = 50, num_query_heads = 4, layer = 1;

/// How many bytes of a tile have no place, or share one. A layout maps them one to one.
int misplaced_bytes(folio::PlaneExtent extent) {
  std::vector<int> used(static_cast<std::size_t>(extent.bytes()));
  int misplaced = 0;
  for (int head = 0; head < extent.heads; ++head)
    for (int slot = 0; slot < extent.slots; ++slot)
      for (int byte = 0; byte < extent.row_bytes; ++byte) {
        std::int64_t const offset = LayoutSkewed::code_offset(folio::Plane::key, extent, head, slot, byte);
        bool const inside = offset >= 0 && offset < extent.bytes();
        misplaced += !inside || used[static_cast<std::size_t>(offset)]++ > 0 ? 1 : 0;
      }
  return misplaced;
}

/// What attention gives over `rows` when they are stored in Layout.
template <folio::LayoutPolicy Layout>
std::vector<float> attend(std::vector<float> const& rows) {
  // [use]
  folio::KvCache<folio::Model<model>, folio::Int8PerToken, Layout> cache(folio::CacheConfig{.num_blocks = {8}});
  // [/use]
  folio::Sequence const sequence = cache.create(num_tokens);
  auto const batch = cache.batch({{&sequence, 1}});  // slots and queries of the last token only
  auto const whole = cache.batch({&sequence});
  folio::ops::append(whole.view(), layer, rows.data(), rows.data());
  std::vector<float> const q(num_query_heads * 64, 0.1F);
  std::vector<float> out(q.size());
  folio::ops::attend(batch.view(), layer, folio::AttentionIo{q.data(), num_query_heads, out.data()});
  return out;
}

}  // namespace

int main() {
  int const misplaced = misplaced_bytes({.heads = 3, .slots = 16, .row_bytes = 80});
  std::cout << misplaced << " bytes of a tile are misplaced, should be 0\n";

  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> rows(std::size_t{num_tokens} * model.kv_heads * model.head_dim);
  for (float& x : rows) x = normal(random);
  std::vector<float> const skewed = attend<LayoutSkewed>(rows), expected = attend<folio::LayoutHnd>(rows);
  int num_different = 0;  // rows that lie whole are attended to as codes, others as floats: the last digits differ
  for (std::size_t i = 0; i < expected.size(); ++i) num_different += std::abs(skewed[i] - expected[i]) < 1e-4F ? 0 : 1;
  std::cout << num_different << " of " << expected.size() << " elements differ from LayoutHnd's, should be 0\n";
  return misplaced == 0 && num_different == 0 && std::cout.flush() ? 0 : 1;
}
