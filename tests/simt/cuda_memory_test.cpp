// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stand-in for the CUDA runtime: memory, copies, virtual memory, tensor maps, and failures on demand.
#include <cuda.h>

#include <cstring>
#include <string>
#include <vector>

#include "simt/cuda_runtime/tensor_map.hpp"
#include "simt/stream_machine.hpp"

namespace {

constexpr std::size_t chunk = 65536;

CUmemAllocationProp const of_device{.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                    .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
CUmemAccessDesc const read_and_write{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

int* ints(CUdeviceptr address) { return reinterpret_cast<int*>(static_cast<std::uintptr_t>(address)); }

CUmemGenericAllocationHandle map_chunk(CUdeviceptr address) {
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE(cuMemCreate(&handle, chunk, &of_device, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemMap(address, chunk, 0, handle, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemSetAccess(address, chunk, &read_and_write, 1) == CUDA_SUCCESS);
  return handle;
}

/// One thread loads a box, and all write what they find to `out`.
template <int Bytes>
__global__ void load_kernel(CUtensorMap map, int x, int y, int z, std::uint8_t* out) {
  __shared__ __align__(1024) std::uint8_t tile[Bytes];
  if (threadIdx.x == 0) simt::tensor_map_load(map, tile, x, y, z);
  __syncthreads();
  for (unsigned i = threadIdx.x; i < Bytes; i += blockDim.x) out[i] = tile[i];
}

/// A map of bytes, of 40 x 6 x 5 with rows of 48 bytes, and boxes of 32 x 4 x 3.
struct Encode {
  cuuint32_t rank = 3;
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  std::size_t offset = 0;
  cuuint64_t extents[5] = {40, 6, 5, 1, 1}, strides[4] = {48, 48 * 6, 48 * 6 * 5, 48 * 6 * 5};
  cuuint32_t box[5] = {32, 4, 3, 1, 1}, steps[5] = {1, 1, 1, 1, 1};
  CUtensorMapInterleave interleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;
  CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;

  CUresult operator()(CUtensorMap& map, std::uint8_t* memory) const {
    return cuTensorMapEncodeTiled(&map, type, rank, memory + offset, extents, strides, box, steps, interleave, swizzle,
                                  CU_TENSOR_MAP_L2_PROMOTION_NONE, fill);
  }
};

}  // namespace

TEST_CASE("Memory knows what it is, and copies must fit it") {
  Machine m(0);
  int on_stack[size] = {};
  int* managed = nullptr;
  REQUIRE(cudaMallocManaged(&managed, num_bytes) == cudaSuccess);
  auto const type = [](void const* pointer) {
    cudaPointerAttributes attributes{};
    REQUIRE(cudaPointerGetAttributes(&attributes, pointer) == cudaSuccess);
    return attributes.type;
  };
  REQUIRE(type(m.device + 3) == cudaMemoryTypeDevice);
  REQUIRE(type(m.pinned) == cudaMemoryTypeHost);
  REQUIRE(type(managed) == cudaMemoryTypeManaged);
  REQUIRE(type(on_stack) == cudaMemoryTypeUnregistered);
  REQUIRE(upload(m.device + 1, m.pinned, m.a) == cudaErrorInvalidValue);                        // past the end
  REQUIRE(cudaMemcpy(m.device, on_stack, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);  // the wrong way
  REQUIRE(cudaMemset(on_stack, 0, 4) == cudaErrorInvalidValue);
  REQUIRE(cudaFree(m.device + 1) == cudaErrorInvalidValue);
  REQUIRE(cudaFreeHost(m.device) == cudaErrorInvalidValue);
  REQUIRE(cudaMemAdvise(managed, num_bytes, cudaMemAdviseSetPreferredLocation, {cudaMemLocationTypeDevice, 0}) ==
          cudaSuccess);
  REQUIRE(cudaMemPrefetchAsync(managed, num_bytes, {cudaMemLocationTypeHost, 0}, 0, m.a) == cudaSuccess);
  REQUIRE(cudaMemPrefetchAsync(m.device, num_bytes, {cudaMemLocationTypeHost, 0}, 0, m.a) == cudaErrorInvalidValue);
  REQUIRE(cudaFree(managed) == cudaSuccess);
  REQUIRE(cudaFree(managed) == cudaErrorInvalidValue);
  REQUIRE(upload(managed, m.pinned, m.a) == cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_CASE("Pageable memory is read at once, and a copy to it is a wait") {
  Machine m(0);
  int from[size], to[size] = {};
  for (int i = 0; i < size; ++i) from[i] = i;
  upload(m.device, from, m.a);
  from[0] = 100;
  REQUIRE(simt::num_host_waits() == 0);
  download(to, m.device, m.a);
  REQUIRE(simt::num_host_waits() == 1);
  REQUIRE(m.holds(to, 0));
  REQUIRE(simt::num_pageable_copies() == 2);
  REQUIRE(cudaMemcpy(m.device2, m.device, num_bytes, cudaMemcpyDeviceToDevice) == cudaSuccess);
  REQUIRE(simt::num_host_waits() == 1);
  REQUIRE(cudaMemcpy(m.pinned2, m.device2, num_bytes, cudaMemcpyDefault) == cudaSuccess);
  REQUIRE(simt::num_host_waits() == 2);
  REQUIRE(m.holds(m.pinned2, 0));
}

TEST_CASE("A batch of copies") {
  auto const program = [](Machine& m, cudaMemcpySrcAccessOrder order) {
    void* const to[] = {m.device, m.device2};
    void const* const from[] = {m.pinned, m.pinned};
    std::size_t const bytes[] = {num_bytes, num_bytes};
    cudaMemcpyAttributes attributes{.srcAccessOrder = order};
    std::size_t first = 0;
    REQUIRE(cudaMemcpyBatchAsync(to, from, bytes, 2, &attributes, &first, 1, m.a) == cudaSuccess);
    for (int i = 0; i < size; ++i) m.pinned[i] = 0;
    add(m.device2, m.device2, 0, m.a);
    download(m.pinned2, m.device2, m.a);
    REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
    return m.holds(m.pinned2, 0);
  };
  REQUIRE(num_right([&](Machine& m) { return program(m, cudaMemcpySrcAccessOrderDuringApiCall); }) == 20);
  REQUIRE(num_right([&](Machine& m) { return program(m, cudaMemcpySrcAccessOrderStream); }) < 20);
  Machine m(0);
  REQUIRE_FALSE(program(m, cudaMemcpySrcAccessOrderStream));
  REQUIRE(simt::num_copies_to_device() == 2);
  void* const to[] = {m.device};
  void const* const from[] = {m.pinned};
  cudaMemcpyAttributes attributes{.srcAccessOrder = cudaMemcpySrcAccessOrderStream};
  std::size_t first = 0;
  auto const code = [&](std::size_t bytes, std::size_t num_attributes, cudaStream_t stream) {
    return cudaMemcpyBatchAsync(to, from, &bytes, 1, &attributes, &first, num_attributes, stream);
  };
  REQUIRE(code(4, 1, m.a) == cudaSuccess);
  REQUIRE(code(4, 1, nullptr) == cudaErrorInvalidValue);
  REQUIRE(code(4, 0, m.a) == cudaErrorInvalidValue);
  REQUIRE(code(num_bytes + 4, 1, m.a) == cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_CASE("Pools count, and outlive their handles") {
  Machine m(0);
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, 0};
  properties.maxSize = 4096;
  cudaMemPool_t pool = nullptr;
  REQUIRE(cudaMemPoolCreate(&pool, &properties) == cudaSuccess);
  std::uint64_t threshold = 2048;
  REQUIRE(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold) == cudaSuccess);
  auto const number = [&](cudaMemPoolAttr attribute) {
    std::uint64_t value = 0;
    REQUIRE(cudaMemPoolGetAttribute(pool, attribute, &value) == cudaSuccess);
    return value;
  };
  void *memory = nullptr, *more = nullptr;
  REQUIRE(cudaMallocFromPoolAsync(&memory, 4000, pool, m.a) == cudaSuccess);
  REQUIRE(cudaMallocFromPoolAsync(&more, 4000, pool, m.a) == cudaErrorMemoryAllocation);
  REQUIRE(cudaFreeAsync(memory, m.a) == cudaSuccess);
  REQUIRE(cudaFreeAsync(memory, m.a) == cudaErrorInvalidValue);
  REQUIRE(number(cudaMemPoolAttrUsedMemCurrent) == 4000);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(number(cudaMemPoolAttrUsedMemCurrent) == 0);
  REQUIRE(number(cudaMemPoolAttrUsedMemHigh) == 4000);
  REQUIRE(number(cudaMemPoolAttrReservedMemCurrent) == 2048);
  REQUIRE(cudaMemPoolTrimTo(pool, 0) == cudaSuccess);
  REQUIRE(number(cudaMemPoolAttrReservedMemCurrent) == 0);
  REQUIRE(cudaMallocFromPoolAsync(&memory, 4000, pool, m.a) == cudaSuccess);
  REQUIRE(cudaMemPoolDestroy(pool) == cudaSuccess);
  REQUIRE(cudaFreeAsync(memory, m.a) == cudaSuccess);
  REQUIRE(cudaMalloc(&memory, std::size_t{1} << 40) == cudaErrorMemoryAllocation);
  cudaGetLastError();
}

TEST_CASE("What is never freed is told") {
  simt::streams(0);
  REQUIRE(simt::leaks().empty());
  void *memory = nullptr, *pinned = nullptr;
  cudaStream_t stream = nullptr;
  cudaMalloc(&memory, 100);
  cudaHostAlloc(&pinned, 200, 0);
  cudaStreamCreate(&stream);
  REQUIRE(simt::leaks() ==
          std::vector<std::string>{"100 bytes of cudaMalloc", "200 bytes of cudaHostAlloc", "1 streams"});
  cudaFree(memory);
  cudaFreeHost(pinned);
  cudaStreamDestroy(stream);
  REQUIRE(simt::leaks().empty());
}

TEST_CASE("Calls fail where a test wants them to") {
  simt::streams(0);
  void* memory = nullptr;
  simt::fail_next("cudaMallocAsync", cudaErrorMemoryAllocation, 1);
  REQUIRE(cudaMallocAsync(&memory, 16, nullptr) == cudaSuccess);
  REQUIRE(cudaFreeAsync(memory, nullptr) == cudaSuccess);
  REQUIRE(cudaMallocAsync(&memory, 16, nullptr) == cudaErrorMemoryAllocation);
  REQUIRE(cudaGetLastError() == cudaErrorMemoryAllocation);
  REQUIRE_FALSE(simt::forget_failure());
  simt::fail_next("cuMemCreate", CUDA_ERROR_OUT_OF_MEMORY);
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE(cuMemCreate(&handle, chunk, &of_device, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  simt::fail_next("", cudaErrorUnknown);
  REQUIRE(cudaDeviceSynchronize() == cudaErrorUnknown);
  simt::fail_next("cudaMalloc", cudaErrorUnknown);
  REQUIRE(simt::forget_failure());
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  REQUIRE(std::string(cudaGetErrorName(cudaErrorUnknown)) == "cudaErrorUnknown");
  REQUIRE(std::string(cudaGetErrorString(cudaErrorMemoryAllocation)) == "out of memory");
  cudaGetLastError();
}

TEST_CASE("The driver's functions are looked up by name and version") {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult status{};
  REQUIRE(cudaGetDriverEntryPointByVersion("cuMemMap", &function, 10020, cudaEnableDefault, &status) == cudaSuccess);
  REQUIRE(status == cudaDriverEntryPointSuccess);
  REQUIRE(reinterpret_cast<decltype(&cuMemMap)>(function) == &cuMemMap);
  cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 11000, cudaEnableDefault, &status);
  REQUIRE(status == cudaDriverEntryPointVersionNotSufficent);
  REQUIRE(function == nullptr);
  cudaGetDriverEntryPointByVersion("cuNothing", &function, 12000, cudaEnableDefault, &status);
  REQUIRE(status == cudaDriverEntryPointSymbolNotFound);
}

TEST_CASE("Chunks are mapped and unmapped, and addresses and contents stay") {
  Machine m(0);
  std::size_t granularity = 0;
  REQUIRE(cuMemGetAllocationGranularity(&granularity, &of_device, CU_MEM_ALLOC_GRANULARITY_MINIMUM) == CUDA_SUCCESS);
  REQUIRE(granularity == chunk);
  CUdeviceptr address = 0;
  REQUIRE(cuMemAddressReserve(&address, 4 * chunk, 0, 0, 0) == CUDA_SUCCESS);
  REQUIRE(address % chunk == 0);
  REQUIRE(cudaMemset(ints(address), 0, 4) == cudaErrorInvalidValue);  // nothing is mapped
  CUmemGenericAllocationHandle const first = map_chunk(address), second = map_chunk(address + chunk);
  int* const across = ints(address + chunk) - size / 2;  // half in each
  REQUIRE(upload(across, m.pinned, m.a) == cudaSuccess);
  REQUIRE(add(across, across, 5, m.a) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(upload(ints(address + 2 * chunk) - 1, m.pinned, m.a) == cudaErrorInvalidValue);
  if (simt::checks_memory()) {
    add(ints(address + 2 * chunk) - 1, m.device, 0, m.a);
    REQUIRE_THROWS_AS(cudaStreamSynchronize(m.a), simt::Error);
  }
  REQUIRE(cuMemUnmap(address, chunk / 2) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemUnmap(address, 2 * chunk) == CUDA_SUCCESS);
  REQUIRE(download(m.pinned2, across, m.a) == cudaErrorInvalidValue);
  REQUIRE(cuMemMap(address + 2 * chunk, chunk, 0, first, 0) == CUDA_SUCCESS);  // moved on
  REQUIRE(cuMemMap(address + 3 * chunk, chunk, 0, second, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemMap(address, chunk, 0, second, 0) == CUDA_ERROR_NOT_SUPPORTED);
  download(m.pinned2, across + 2 * chunk / sizeof(int), m.a);
  REQUIRE_THROWS_AS(cudaStreamSynchronize(m.a), simt::Error);  // no access yet
  REQUIRE(cuMemSetAccess(address + 2 * chunk, 2 * chunk, &read_and_write, 1) == CUDA_SUCCESS);
  REQUIRE(download(m.pinned2, across + 2 * chunk / sizeof(int), m.a) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(m.holds(m.pinned2, 5));
  REQUIRE(cuMemAddressFree(address, 4 * chunk) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemRelease(first) == CUDA_SUCCESS);
  REQUIRE(cuMemRelease(first) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemUnmap(address + 2 * chunk, 2 * chunk) == CUDA_SUCCESS);
  REQUIRE(cuMemRelease(second) == CUDA_SUCCESS);
  REQUIRE(cuMemAddressFree(address, 4 * chunk) == CUDA_SUCCESS);
  REQUIRE(cuMemAddressReserve(&address, chunk + 1, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE(cuMemCreate(&handle, chunk + 4096, &of_device, 0) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemCreate(&handle, std::size_t{1} << 40, &of_device, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  cudaGetLastError();
}

TEST_CASE("A tensor map's box is a copy of a tensor's, with zeros outside") {
  constexpr int box_bytes = 32 * 4 * 3;
  Encode encode;
  bool const swizzle = GENERATE(false, true);
  if (swizzle) encode.swizzle = CU_TENSOR_MAP_SWIZZLE_32B;
  std::vector<std::uint8_t> values(48 * 6 * 5);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint8_t>(1 + i % 251);
  simt::Buffer<std::uint8_t> const memory(values, "tensor"), out(box_bytes, "out");
  CUtensorMap map;
  REQUIRE(encode(map, memory.data()) == CUDA_SUCCESS);
  for (auto const& [x, y, z] : {dim3(0, 0, 0), dim3(8, 2, 2), dim3(16, 4, 3), dim3(~15U, ~0U, 0), dim3(40, 0, 0)}) {
    int const at[] = {static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)};
    simt::launch({.block = 32, .name = "load_kernel"}, load_kernel<box_bytes>, map, at[0], at[1], at[2], out.data());
    for (int i = 0; i < box_bytes; ++i) {
      int const row = i / 32, dx = at[0] + i % 32, dy = at[1] + row % 4, dz = at[2] + row / 4;
      bool const inside = dx >= 0 && dx < 40 && dy >= 0 && dy < 6 && dz < 5;
      int const place = swizzle ? i ^ ((i >> 7 & 1) << 4) : i;
      REQUIRE(out[static_cast<std::size_t>(place)] ==
              (inside ? values[static_cast<std::size_t>(dz * 288 + dy * 48 + dx)] : 0));
    }
  }
}

TEST_CASE("Tensor maps that TMA cannot load are refused") {
  alignas(16) std::uint8_t memory[16] = {};
  CUtensorMap map;
  auto const code = [&](void (*spoil)(Encode&)) {
    Encode encode;
    spoil(encode);
    return encode(map, memory);
  };
  REQUIRE(code([](Encode&) {}) == CUDA_SUCCESS);
  REQUIRE(code([](Encode& e) { e.rank = 5; }) == CUDA_SUCCESS);
  REQUIRE(code([](Encode& e) { e.interleave = CU_TENSOR_MAP_INTERLEAVE_16B; }) == CUDA_ERROR_NOT_SUPPORTED);
  void (*const spoilers[])(Encode&) = {
      [](Encode& e) { e.rank = 0; },
      [](Encode& e) { e.rank = 6; },
      [](Encode& e) { e.offset = 8; },
      [](Encode& e) { e.strides[1] = 48 * 6 + 8; },
      [](Encode& e) { e.strides[0] = cuuint64_t{1} << 40; },
      [](Encode& e) { e.extents[2] = 0; },
      [](Encode& e) { e.extents[0] = (cuuint64_t{1} << 32) + 1; },
      [](Encode& e) { e.box[1] = 257; },
      [](Encode& e) { e.box[1] = 0; },
      [](Encode& e) { e.box[0] = 24; },
      [](Encode& e) { e.steps[1] = 9; },
      [](Encode& e) { e.box[0] = 64, e.swizzle = CU_TENSOR_MAP_SWIZZLE_32B; },
      [](Encode& e) { e.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA; },
  };
  for (auto const& spoiler : spoilers) {
    CAPTURE(&spoiler - spoilers);
    REQUIRE(code(spoiler) == CUDA_ERROR_INVALID_VALUE);
  }
}
