// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tiles of a view's blocks in shared memory, brought there by TMA, the copy engine of GPUs from compute capability 9.0
// on. Elsewhere the thread block's threads copy them: the same kernel gives the same result everywhere.
//
//   template <class View> __global__ void kernel(View view, __grid_constant__ TensorMap const map, ...) {
//     __shared__ KeyTile<LayerView<View, 0>> tile;
//     __shared__ TileBarrier arrived;
//     arrived.init();
//     load_tile(map, {block, layer, head}, tile, arrived);
//     arrived.wait(0);
//     ... tile.row(layer_view.key(block, head, slot), slot).template load<8>(0) ...

#include <cuda.h>  // types only: the driver's function is asked of the CUDA runtime

#include <cstddef>
#include <cstdint>
#include <folio/cuda_runtime.cuh>
#include <folio/device_view.hpp>
#include <folio/tensor_map_shape.hpp>
#include <string>
#include <type_traits>
#include <utility>

namespace folio {

/// TMA descriptor (CUtensorMap) of one plane of a group's blocks, for cp.async.bulk.tensor, and the same in numbers.
///
/// A kernel takes it as `__grid_constant__ TensorMap const`: TMA reads the descriptor where the parameters are, and a
/// copy on a thread's stack is no place for it. It is valid as long as the pool's memory is. TMA sees what earlier
/// kernels wrote to the blocks; what the same kernel wrote only after a fence.proxy.async.
struct TensorMap {
  CUtensorMap descriptor;  ///< zeros on a GPU without TMA
  std::byte const* begin;  ///< the tensor's first byte
  TensorMapShape shape;
};

namespace detail {

/// The driver's function, without linking to the driver.
[[nodiscard]] inline decltype(&cuTensorMapEncodeTiled) tensor_map_encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found),
             "looking for the driver's cuTensorMapEncodeTiled");
  if (found != cudaDriverEntryPointSuccess || function == nullptr)
    throw Error("folio: this driver has no cuTensorMapEncodeTiled: install one for CUDA 12 or newer");
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
}

inline void encode(TensorMap& map) {
  constexpr int rank = TensorMapShape::rank;
  cuuint64_t extents[rank], strides[rank - 1];
  cuuint32_t box[rank], steps[rank];
  for (int i = 0; i < rank; ++i) {
    extents[i] = static_cast<cuuint64_t>(map.shape.extents[i]);
    box[i] = static_cast<cuuint32_t>(map.shape.box[i]);
    steps[i] = 1;
  }
  for (int i = 0; i < rank - 1; ++i) strides[i] = static_cast<cuuint64_t>(map.shape.strides[i]);
  auto const type = map.shape.element_bytes == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                    : map.shape.element_bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_UINT16
                    : map.shape.element_bytes == 4 ? CU_TENSOR_MAP_DATA_TYPE_UINT32
                                                   : CU_TENSOR_MAP_DATA_TYPE_UINT64;
  CUresult const result =
      tensor_map_encoder()(&map.descriptor, type, rank, const_cast<std::byte*>(map.begin), extents, strides, box, steps,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw Error(
        "folio: cuTensorMapEncodeTiled refused a tensor map with the driver's error " +
        std::to_string(static_cast<int>(result)) +
        ": the pool must be device memory aligned to 16 bytes, and a shape of one's own must keep TMA's limits");
}

}  // namespace detail

/// The descriptor of a tensor of this shape in `pool`, a group's blocks in device memory (GroupTable::pool). For those
/// who want boxes of their own; others take the overload below.
[[nodiscard]] inline TensorMap make_tensor_map(std::byte const* pool, TensorMapShape const& shape) {
  TensorMap map{.descriptor = {}, .begin = pool + shape.offset, .shape = shape};
  int device = 0, generation = 0;
  check_cuda(cudaGetDevice(&device), "asking for the current device");
  check_cuda(cudaDeviceGetAttribute(&generation, cudaDevAttrComputeCapabilityMajor, device),
             "asking for a device's compute capability");
  if (generation >= 9) detail::encode(map);
  return map;
}

/// The descriptor of the codes of `plane` in layer group `group`: `cache.num_blocks(group)` blocks. Made once, when the
/// cache is: it holds for every step. Throws Error as tensor_map_shape does, and where the driver refuses.
template <class View>
[[nodiscard]] TensorMap make_tensor_map(DeviceView<View> const& view, int group, Plane plane, std::int64_t num_blocks) {
  TensorMapShape const shape = tensor_map_shape(view, group, plane, num_blocks);
  return make_tensor_map(view.group(group).pool, shape);
}

/// TMA tile: shared memory for the codes of one plane of one head in one block, of a layer whose type is `Layer`.
template <class Layer, Plane plane>
struct alignas(128) TmaTile {
  static constexpr GroupShape known = Layer::known;
  static_assert(known.block_size != dynamic && known.key_dim != dynamic,
                "folio: a tile's size must be known when the kernel is compiled: name the group of layers");
  static_assert(plane == Plane::key || !known.values_in_keys(),
                "folio: the values of a latent layer are the beginning of its keys: take a KeyTile");
  using RowType = std::conditional_t<plane == Plane::key, typename Layer::KeyRow, typename Layer::ValueRow>;
  static constexpr PlaneExtent shape = {
      1, known.block_size, decltype(std::declval<Layer>().map()){known}.extent(plane, RowPart::code).row_bytes};

  std::byte bytes[static_cast<std::size_t>(shape.bytes())];

  /// Row `slot` of the tile. Its parameters are read where `stored`, the same row in the block, has them.
  [[nodiscard]] FOLIO_HOST_DEVICE RowType row(RowType const& stored, std::int32_t slot) {
    return {bytes, shape, stored.param_bytes(), 0, slot};
  }
};
template <class Layer>
using KeyTile = TmaTile<Layer, Plane::key>;
template <class Layer>
using ValueTile = TmaTile<Layer, Plane::value>;

/// Which tile: the codes of one head of one layer of the group in one block.
struct TileIndex {
  BlockId block;
  std::int32_t layer, head;
};

/// Barrier (mbarrier) of TMA: says when tiles have arrived in shared memory. A `__shared__` variable; one for each
/// stage of a pipeline. Every thread of the block makes every call.
///
/// Phase p of a barrier is its p-th turn of `num_tiles` loads, from 0. After a wait the tiles may be read, and after a
/// __syncthreads() after the last read the next loads may overwrite them.
class TileBarrier {
 public:
  /// Before the first load; `num_tiles` are loaded in each phase. Ends in a __syncthreads().
  __device__ void init(int num_tiles = 1);
  /// Returns when the tiles of this phase have arrived.
  __device__ void wait(int phase);

 private:
  template <class AnyTile>
  friend __device__ void load_tile(TensorMap const&, TileIndex, AnyTile&, TileBarrier&);

  /// With TMA an mbarrier; else how many tiles a phase has, and how many were loaded in all.
  union {
    std::uint64_t mbarrier_;
    std::uint32_t counts_[2];
  };
};

namespace detail {

[[nodiscard]] __device__ inline unsigned thread_in_block() {
  return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}

/// 16 bytes, which every line is a multiple of.
struct alignas(16) TileChunk {
  std::uint32_t words[4];
};

/// What TMA does, by the threads of the block.
__device__ inline void copy_tile(TensorMap const& map, TileIndex at, std::byte* to) {
  TensorMapShape const& shape = map.shape;
  std::byte const* const from =
      map.begin + to_int(at.block) * shape.strides[3] + at.layer * shape.strides[2] + at.head * shape.strides[1];
  std::int32_t const chunks_of_line = shape.line_bytes() / 16;
  auto const step = static_cast<std::int32_t>(blockDim.x * blockDim.y * blockDim.z);
  for (auto i = static_cast<std::int32_t>(thread_in_block()); i < shape.tile_bytes() / 16; i += step)
    aligned_cast<TileChunk>(to)[i] =
        *aligned_cast<TileChunk const>(from + i / chunks_of_line * shape.strides[0] + i % chunks_of_line * 16);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
[[nodiscard]] __device__ inline std::uint32_t shared_address(void const* of) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(of));
}
#endif

}  // namespace detail

/// Begins to bring a tile to shared memory; `arrived.wait` says when it is there. Every thread of the block calls it
/// with the same arguments. One instruction of one thread with TMA, which moves the bytes while the block computes;
/// without it every thread copies its share of 16-byte pieces. Ids and indices are the caller's promise.
template <class AnyTile>
__device__ void load_tile(TensorMap const& map, TileIndex at, AnyTile& tile, TileBarrier& arrived) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (detail::thread_in_block() != 0) return;
  std::uint32_t const barrier = detail::shared_address(&arrived.mbarrier_);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // what threads did with this memory comes first
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(map.shape.tile_bytes())
               : "memory");
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4, %5, %6}], [%7];" ::"r"(detail::shared_address(tile.bytes)),
      "l"(&map.descriptor), "r"(0), "r"(0), "r"(at.head), "r"(at.layer), "r"(to_int(at.block)), "r"(barrier)
      : "memory");
#else
  detail::copy_tile(map, at, tile.bytes);
  if (detail::thread_in_block() == 0) ++arrived.counts_[1];
#endif
}

__device__ inline void TileBarrier::init(int num_tiles) {
  if (detail::thread_in_block() == 0) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(detail::shared_address(&mbarrier_)), "r"(num_tiles)
                 : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
    counts_[0] = static_cast<std::uint32_t>(num_tiles);
    counts_[1] = 0;
#endif
  }
  __syncthreads();
}

__device__ inline void TileBarrier::wait(int phase) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  std::uint32_t arrived = 0;
  do {
    asm volatile(
        "{\n.reg .pred arrived;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 arrived, [%1], %2;\n"
        "selp.u32 %0, 1, 0, arrived;\n}"
        : "=r"(arrived)
        : "r"(detail::shared_address(&mbarrier_)), "r"(phase & 1)
        : "memory");
  } while (arrived == 0);
#else
  __syncthreads();
  if (counts_[1] != counts_[0] * static_cast<std::uint32_t>(phase + 1))
    __trap();  // TMA would wait for ever, or not at all
#endif
}

}  // namespace folio
