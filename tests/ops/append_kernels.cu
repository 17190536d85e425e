// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Device memory, steps and the kernels that move rows, compiled by nvcc for every quantizer and layout.
#include <folio/cuda.cuh>

#include "ops/kernel_formats.hpp"

namespace {

using namespace folio;

struct Rows {
  template <ModelConfig config, class T, class... Policies>
  void operator()() const {
    using Cache = KvCache<Model<config>, DeviceAllocator, Policies...>;
    using View = DeviceView<typename Cache::View>;
    [[maybe_unused]] void (*volatile append)(View const&, std::int32_t, T const*, T const*, cudaStream_t, RowStrides) =
        ops::append;
    [[maybe_unused]] void (*volatile gather)(View const&, std::int32_t, Tokens const&, T*, T*, cudaStream_t) =
        ops::gather;
  }
};

/// Every allocator makes a cache of blocks that a step can be uploaded for.
template <class Allocator>
void step(Allocator allocator) {
  KvCache<Model<models::llama3_1_8b>, Int8PerToken, Allocator> cache({.num_blocks = {64}}, std::move(allocator));
  Sequence const sequence = cache.create(40);
  DeviceBatch batch(cache, {.num_sequences = 8, .num_query_tokens = 64, .num_tokens = 1000});
  batch.upload({&sequence}, nullptr);
  BlockHold().hold(sequence, nullptr);
}

}  // namespace

void compile_all() {
  Rows const rows;
  folio::test::for_kernel_formats(rows);
  rows.operator()<models::llama3_1_8b, Half, Keys<Int8PerGroup<32>>, Values<Int3Rotated>>();
  rows.operator()<models::llama3_1_8b, Half, Keys<Nvfp4>, Values<Mxfp4>>();
  rows.operator()<models::llama3_1_8b, Half, Iq4Nl, LayoutNz>();
  step(DeviceAllocator());
  step(PinnedAllocator());
  step(ManagedAllocator());
  step(VirtualAllocator(std::int64_t{1} << 36));
  step(FunctionAllocator<Accessibility::device>([](std::size_t, std::size_t) -> void* { return nullptr; },
                                                [](void*, std::size_t) {}));
}
