// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The ladder of docs/quantization.md.
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/pressure_ladder.hpp>
#include <vector>

#include "support/catch.hpp"

TEST_CASE("an engine demotes more, and then parks its youngest request") {
  constexpr static folio::ModelConfig model{.layers = 2, .kv_heads = 1, .head_dim = 32};
  using Cache =
      folio::KvCache<folio::Model<model>, folio::F16, folio::BlockSize<16>, folio::Demote<folio::Int4Rotated>>;
  Cache cache({.num_blocks = {20}, .demotion = {.num_blocks = {20}}});
  std::vector<folio::Sequence> requests(2);
  for (folio::Sequence& request : requests) request = cache.create(128);
  auto const park_youngest = [&]() -> std::int64_t {
    if (requests.size() <= 1) return 0;
    requests.pop_back();
    return 1;
  };
  // [ladder]
  auto const demote = [&] {
    std::vector<folio::Sequence*> running;
    for (folio::Sequence& request : requests) running.push_back(&request);
    return cache.demote_all(running).num_tokens;
  };
  folio::PressureLadder ladder({folio::demotion_rung(cache, 0.3, 32, demote),
                                folio::demotion_rung(cache, 0.1, 0, demote),
                                {"park", 0.02, park_youngest}});

  ladder.relieve(folio::free_share(cache));  // for each step
  if (!requests[0].try_extend(200))
    ladder.relieve_until([&] { return requests[0].try_extend(200); }, folio::free_share(cache));
  // [/ladder]
  CHECK(requests[0].num_tokens() == 328);
  CHECK(requests.size() == 2);  // demoting was enough
  CHECK(ladder.num_on() >= 1);
  CHECK(cache.recent_window() <= 32);
}
