// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The code of docs/write_a_kernel.md that no example has, compiled by nvcc. Nothing here runs; what can run without a
// GPU does so in decode_attention_test.cpp.
#include <cuda_fp16.h>
#include <cuda_pipeline_primitives.h>

#include <folio/cuda.cuh>
#include <folio/precision/demote.cuh>
#include <folio/precision/mixed_ops.cuh>
#include <vector>

#include "decode_attention.cuh"

// [halves]
/// The same in half precision: pairs of products, summed in float from 16 bytes to the next. q: [D / 2] pairs.
template <int D, class View>
__global__ void half_scores_kernel(View view, int layer, int head, __half2 const* q, float* scores) {
  auto const sequence = view.sequence(0, layer);
  auto const token = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (token >= sequence.num_tokens()) return;
  auto const key = sequence.key(head, token);
  float score = 0;
  for (int d = 0; d < D; d += 8) {
    auto const elements = key.template load<8, folio::Half>(d);
    auto const* const pairs = reinterpret_cast<__half2 const*>(elements.v);
    __half2 part = __hmul2(q[d / 2], pairs[0]);
    for (int i = 1; i < 4; ++i) part = __hfma2(q[d / 2 + i], pairs[i], part);
    score += __low2float(part) + __high2float(part);
  }
  scores[token] = score;
}
// [/halves]

/// `keys`, `values`, `q`, `out`: as in a step. `results`: a float for each token.
void first_kernels(float const* keys, float const* values, float const* q, __half2 const* half_q, float* out,
                   float* results, cudaStream_t stream) {
  // [step]
  constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 128};
  folio::KvCache<folio::Model<model>, folio::Int8PerToken, folio::DeviceAllocator> cache({.num_blocks = {64}});
  folio::DeviceBatch batch(cache, {.num_sequences = 4, .num_query_tokens = 64, .num_tokens = 512});

  folio::Sequence sequence = cache.create(37);  // a prompt's slots
  batch.upload({&sequence}, stream);            // what the step changes in the tables
  auto const view = batch.view();
  for (int layer = 0; layer < model.layers; ++layer) {
    // All in device memory. keys, values: [query token][kv head][dim]; q, out: [query token][query head][dim]
    folio::ops::append(view, layer, keys, values, stream);
    folio::ops::prefill(view, layer, folio::AttentionIo{q, 8, out}, {}, {.stream = stream});  // 8 query heads
  }
  // [/step]

  // [launch_element]
  // Element 5 of the key of token 20 in kv head 0 of layer 1.
  folio::ops::launch(read_element<decltype(view)>, 1, 1, 0, stream, view, 1, 0, 20, 5, results);
  // [/launch_element]

  folio::ops::launch(scores_kernel<128, decltype(view)>, 1, 64, 0, stream, view, 1, 0, q, results);
  folio::ops::launch(staged_scores_kernel<128, decltype(view)>, 1, 64, 0, stream, view, 1, 0, q, results);
  folio::ops::launch(half_scores_kernel<128, decltype(view)>, 1, 64, 0, stream, view, 1, 0, half_q, results);
}

/// Reads blocks beside the steps, on a stream of its own, into `host_pool`.
template <class Cache>
void copy_out(Cache const& cache, folio::Sequence const& sequence, std::byte* host_pool, cudaStream_t steps,
              cudaStream_t copies, folio::BlockHold& hold) {
  std::vector<folio::BlockCopy> list;
  for (folio::BlockId const block : sequence.blocks(0))
    list.push_back({block, folio::BlockId{static_cast<std::int32_t>(list.size())}});
  // [hold]
  folio::CudaEvent written;
  written.record(steps);      // what the steps so far have written
  written.make_wait(copies);  // comes first; the host waits for nothing
  folio::ops::swap_out(cache.pool(), host_pool, cache.block_bytes(), list, copies);
  hold.hold(sequence, copies);  // its blocks go to nobody else before the copy has run
  // [/hold]
}
template void copy_out(folio::KvCache<folio::Model<folio::models::llama3_1_8b>, folio::DeviceAllocator> const&,
                       folio::Sequence const&, std::byte*, cudaStream_t, cudaStream_t, folio::BlockHold&);

/// Gives a sequence's blocks back, whose contents go to `places`. Returns the tick at which they are there.
template <class Cache>
std::int64_t park(Cache& cache, folio::Sequence& sequence, std::vector<std::byte*> const& places) {
  std::int64_t tick = 0;
  std::size_t next = 0;
  // [move_out]
  for (folio::BlockId const block : sequence.blocks())
    tick = cache.moves().move_out(0, block, places[next++]);  // only noted: it takes no memory, and nothing waits
  sequence.release();                                         // the blocks are free at once
  // [/move_out]
  return tick;
}
template std::int64_t park(folio::KvCache<folio::Model<folio::models::llama3_1_8b>, folio::DeviceAllocator>&,
                           folio::Sequence&, std::vector<std::byte*> const&);

// [own_memory]
constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 128};
using View = folio::BlockTableView<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken, folio::Int8PerToken,
                                   folio::LayoutHnd>;

/// An engine's own arrays, in device memory.
struct EngineMemory {
  std::byte* pool;                   // block b begins at b * block_bytes; aligned to 64; block 0 is zero
  std::int32_t const* blocks;        // [num_sequences][table_width] block ids; after a sequence's end 0
  std::int64_t const* slots;         // [num_query_tokens] block id * 16 + place in the block; -1: nowhere
  std::int32_t const* lengths;       // [num_sequences] tokens, those of this step included
  std::int32_t const* query_starts;  // [num_sequences + 1] from 0
  std::int32_t table_width, num_sequences, num_query_tokens;
};

folio::DeviceView<View> view_of(EngineMemory const& memory) {
  folio::GroupShape const shape = folio::group_shape(model, 0, 16);  // layer group 0, 16 tokens in a block
  folio::GroupTable const group{memory.pool, memory.blocks, memory.slots, memory.table_width, shape};
  return folio::DeviceView<View>(
      {{group}, memory.lengths, memory.query_starts, memory.num_sequences, memory.num_query_tokens});
}
// [/own_memory]

/// `keys`, `values`, `q`, `out`: as in a step. `parts`: memory for attention.
void steps_of_two_formats(float const* keys, float const* values, float const* q, float* out,
                          std::span<std::byte> parts, cudaStream_t stream) {
  // [demote]
  constexpr folio::ModelConfig config{.layers = 2, .kv_heads = 2, .head_dim = 128};
  folio::KvCache<folio::Model<config>, folio::F16, folio::Demote<folio::Int4Rotated>, folio::DeviceAllocator> cache(
      {.memory_bytes = std::int64_t{1} << 30, .demotion = {.sinks = 16, .recent_window = 64}});
  folio::DeviceBatch batch(cache, {.num_sequences = 2, .num_query_tokens = 2, .num_tokens = 8192});
  auto plan = folio::ops::plan_attention(batch.view(), 8, {}, {.stream = stream});  // 8 query heads
  plan.set_workspace(parts);  // plan.workspace_bytes() of them, in device memory

  folio::Sequence a = cache.create(), b = cache.create();
  for (int step = 0; step < 1000; ++step) {
    a.extend(1);
    b.extend(1);
    batch.upload({&a, &b}, stream);
    for (int layer = 0; layer < config.layers; ++layer) {
      folio::ops::append(batch.view(), layer, keys, values, stream);
      folio::ops::attend(plan, layer, folio::AttentionIo{q, 8, out});
    }
    folio::ops::demote(cache, {&a, &b}, batch, stream);  // what has left the newest 64 tokens, in whole blocks
  }
  // [/demote]
  folio::ops::launch(mixed_attention<128, decltype(cache)::View>, dim3(2, 8), 32, 0, stream, batch.view(), 0, 0.1F, q,
                     out);
}
