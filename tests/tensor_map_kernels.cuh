// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A kernel that reads every row of a batch out of tiles in shared memory: for the host runner, nvcc and GPUs.

#include <folio/tensor_map.cuh>
#include <folio/view.hpp>

namespace folio::test {

/// Decodes the keys and values of all tokens of all sequences in layer `layer` of the group, tile by tile, two stages
/// of a key and a value tile each. `out`: [sequence][block of the table][head][slot][key_dim + value_dim]; slots after
/// a sequence's end are not written. Grid: (heads, sequences); a block of any shape.
template <class View, int Group>
__global__ void tiles_kernel(View view, __grid_constant__ folio::TensorMap const keys,
                             __grid_constant__ folio::TensorMap const values, std::int32_t layer, float* out) {
  using Layer = folio::LayerView<View, Group>;
  __shared__ folio::KeyTile<Layer> key_tiles[2];
  __shared__ folio::ValueTile<Layer> value_tiles[2];
  __shared__ folio::TileBarrier arrived[2];
  auto const i = static_cast<std::int32_t>(blockIdx.y), head = static_cast<std::int32_t>(blockIdx.x);
  auto const sequence = view.template sequence_in<Group>(i, layer);
  folio::GroupShape const shape = sequence.shape();
  std::int32_t const num_blocks = folio::blocks_for(sequence.num_tokens(), shape.block_size);
  auto const load = [&](std::int32_t b) {
    folio::TileIndex const at{sequence.block_id(b * shape.block_size), layer, head};
    folio::load_tile(keys, at, key_tiles[b % 2], arrived[b % 2]);
    folio::load_tile(values, at, value_tiles[b % 2], arrived[b % 2]);
  };
  arrived[0].init(2);
  arrived[1].init(2);
  for (std::int32_t b = 0; b < 2 && b < num_blocks; ++b) load(b);

  auto const thread = static_cast<std::int32_t>(threadIdx.y * blockDim.x + threadIdx.x);
  auto const threads = static_cast<std::int32_t>(blockDim.x * blockDim.y);
  std::int32_t const width = shape.key_dim + shape.value_dim;
  for (std::int32_t b = 0; b < num_blocks; ++b) {
    arrived[b % 2].wait(b / 2);
    folio::BlockId const block = sequence.block_id(b * shape.block_size);
    std::int64_t const tile = (std::int64_t{i} * view.group(Group).width + b) * shape.kv_heads + head;
    for (std::int32_t slot = thread; slot < shape.block_size; slot += threads) {
      if (b * shape.block_size + slot >= sequence.num_tokens()) break;
      float* const to = out + (tile * shape.block_size + slot) * width;
      auto const key = key_tiles[b % 2].row(sequence.layer().key(block, head, slot), slot);
      auto const value = value_tiles[b % 2].row(sequence.layer().value(block, head, slot), slot);
      for (std::int32_t dim = 0; dim < shape.key_dim; dim += 8) {
        auto const part = key.template load_in<key.basis, 8>(dim);
        for (int k = 0; k < 8; ++k) to[dim + k] = part[k];
      }
      for (std::int32_t dim = 0; dim < shape.value_dim; dim += 8) {
        auto const part = value.template load_in<value.basis, 8>(dim);
        for (int k = 0; k < 8; ++k) to[shape.key_dim + dim + k] = part[k];
      }
    }
    __syncthreads();
    if (b + 2 < num_blocks) load(b + 2);
  }
}

}  // namespace folio::test
