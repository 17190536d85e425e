// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The smallest step on a GPU: blocks in device memory, new keys and values written, attention over what is stored.

#include <cmath>
#include <folio/cuda.cuh>
#include <iostream>
#include <string>
#include <vector>

#include "device_array.cuh"

int main() {
  if (std::string const why = folio::no_cuda_device_because(); !why.empty()) {
    std::cout << "SKIP: " << why << "\n";
    return skipped;
  }
  // [hello]
  constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 128};
  using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken, folio::DeviceAllocator>;
  Stream const stream;
  Cache cache({.num_blocks = {64}}, folio::DeviceAllocator(stream));
  folio::DeviceBatch batch(cache, {.num_sequences = 4, .num_query_tokens = 64, .num_tokens = 512});

  DeviceArray<float> const keys(std::vector<float>(64 * 2 * 128, 1.0F), stream);    // [token][kv head][dim]
  DeviceArray<float> const values(std::vector<float>(64 * 2 * 128, 0.5F), stream);  // likewise
  DeviceArray<float> const q(std::vector<float>(64 * 8 * 128, 1.0F), stream);       // [token][query head][dim]
  DeviceArray<float> const out(64 * 8 * 128, stream);
  auto plan = folio::ops::plan_attention(batch.view(), 8, {}, {.stream = stream});  // for every step of the batch
  DeviceArray<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()), stream);
  plan.set_workspace({workspace.data(), workspace.size()});
  auto const step = [&](folio::Sequence const& sequence) {
    batch.upload({&sequence}, stream);  // what the step changes in the tables
    for (int layer = 0; layer < 2; ++layer) {
      folio::ops::append(batch.view(), layer, keys.data(), values.data(), stream);
      folio::ops::attend(plan, layer, folio::AttentionIo{q.data(), 8, out.data()});
    }
  };

  folio::Sequence prompt = cache.create(37);  // slots for 37 tokens, or OutOfBlocks and nothing changed
  step(prompt);
  folio::Sequence draft = prompt.fork();  // shares the prompt's three blocks
  draft.extend(2);                        // its own copy of the third is made by the next upload
  step(draft);
  // [/hello]
  std::vector<float> const result = out.to_host();  // the draft's two tokens come first, then 35 of the prompt's
  float worst = 0;
  for (std::size_t i = 0; i < 37UL * 8 * 128; ++i)
    if (float const error = std::abs(result[i] - 0.5F); !(error <= worst)) worst = error;  // a NaN is worst of all
  std::cout << "attention differs from 0.5 by at most " << worst << "; live blocks: " << cache.stats().live
            << ", should be 4\n";
  return worst < 1e-3F && cache.stats().live == 4 && std::cout.flush() ? 0 : 1;
}
