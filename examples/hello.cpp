// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// One step of a model: slots for a prompt, its keys and values in every layer, attention, a fork, and what it all took.

// [hello]
#include <cmath>
#include <folio/folio.hpp>
#include <iostream>
#include <vector>

using Cache = folio::KvCache<folio::Model<folio::models::llama3_1_8b>, folio::BlockSize<16>, folio::Int8PerToken>;

int main() {
  Cache cache({.memory_bytes = 64 << 20});
  folio::Sequence prompt = cache.create(37);  // slots for 37 tokens, or OutOfBlocks and nothing changed
  auto const batch = cache.batch({&prompt});  // the step's block tables
  std::vector<float> const keys(37 * 8 * 128, 1.0F), values(37 * 8 * 128, 0.5F), q(37 * 32 * 128, 1.0F);
  std::vector<float> out(q.size());
  folio::AttentionIo const io{q.data(), 32, out.data()};  // 32 query heads share 8 kv heads
  for (int layer = 0; layer < 32; ++layer) {
    folio::ops::append(batch.view(), layer, keys.data(), values.data());  // stores [token][kv head][dim] in the blocks
    folio::ops::attend(batch.view(), layer, io);
  }
  folio::Sequence draft = prompt.fork();  // shares the prompt's three blocks
  draft.extend(5);                        // the last of them is partly filled: draft gets a copy to write to
  draft.truncate(38);                     // one of the five tokens was accepted
  folio::Stats const stats = cache.stats();
  std::cout << folio::to_json(stats) << "\nattention: " << out[0] << ", should be 0.5; live blocks: " << stats.live
            << ", should be 4\n";
  return std::abs(out[0] - 0.5F) < 1e-5F && stats.live == 4 && std::cout.flush() ? 0 : 1;
}
// [/hello]
