// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <folio/allocator/allocator.hpp>
#include <folio/cuda_runtime.cuh>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace folio {

namespace detail {

/// The functions of CUDA's driver that map memory, looked up at run time: nothing links to the driver.
struct VirtualMemoryDriver {
  decltype(&cuMemGetAllocationGranularity) granularity =
      look_up<decltype(&cuMemGetAllocationGranularity)>("cuMemGetAllocationGranularity");
  decltype(&cuMemAddressReserve) reserve = look_up<decltype(&cuMemAddressReserve)>("cuMemAddressReserve");
  decltype(&cuMemAddressFree) unreserve = look_up<decltype(&cuMemAddressFree)>("cuMemAddressFree");
  decltype(&cuMemCreate) create = look_up<decltype(&cuMemCreate)>("cuMemCreate");
  decltype(&cuMemRelease) release = look_up<decltype(&cuMemRelease)>("cuMemRelease");
  decltype(&cuMemMap) map = look_up<decltype(&cuMemMap)>("cuMemMap");
  decltype(&cuMemUnmap) unmap = look_up<decltype(&cuMemUnmap)>("cuMemUnmap");
  decltype(&cuMemSetAccess) set_access = look_up<decltype(&cuMemSetAccess)>("cuMemSetAccess");

  template <class Function>
  static Function look_up(char const* name) {
    constexpr unsigned since = 10020;  // CUDA 10.2 has them all
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check_cuda(cudaGetDriverEntryPointByVersion(name, &function, since, cudaEnableDefault, &found), name);
    if (found != cudaDriverEntryPointSuccess || function == nullptr)
      throw Error(std::string("folio: the CUDA driver has no ") + name + "; use DeviceAllocator");
    return reinterpret_cast<Function>(function);
  }
};

inline void check_driver(CUresult code, char const* what) {
  if (code != CUDA_SUCCESS)
    throw Error(std::string("folio: ") + what + " failed with the CUDA driver's error " +
                std::to_string(static_cast<int>(code)));
}

}  // namespace detail

/// Virtual memory of one GPU (cuMemMap), whose addresses are reserved once, so that a pool grows and shrinks without
/// moving.
///
/// Only the device reads it. Each allocation reserves `reserve_bytes` of addresses, which cost nothing, and maps memory
/// to the beginning of them in chunks of `chunk_bytes` (rounded up to the GPU's granularity, usually 2 MiB);
/// KvCache::resize maps more or gives chunks back. Pointers and captured graphs stay valid. Mapping takes some ten
/// microseconds a chunk and is not ordered by streams: before memory is given back, what reads it must have ended.
/// Throws OutOfMemory when the GPU or the reservation has not enough, Error when the driver cannot map.
/// Choose DeviceAllocator for a cache whose size never changes.
class VirtualAllocator {
 public:
  static constexpr char const* name = "virtual";
  static constexpr Accessibility accessibility = Accessibility::device;

  explicit VirtualAllocator(std::int64_t reserve_bytes, int device = current_device,
                            std::int64_t chunk_bytes = std::int64_t{32} << 20)
      : reserve_bytes_(reserve_bytes), driver_(std::make_shared<detail::VirtualMemoryDriver>()) {
    if (device == current_device) check_cuda(cudaGetDevice(&device), "asking for the current device");
    check_cuda(cudaFree(nullptr), "starting CUDA");  // the driver's calls need a context
    properties_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties_.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties_.location.id = device;
    std::size_t granularity = 0;
    detail::check_driver(driver_->granularity(&granularity, &properties_, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
                         "asking for the granularity of memory");
    chunk_bytes_ = rounded_up(chunk_bytes > 0 ? chunk_bytes : 1, static_cast<std::int64_t>(granularity));
  }

  /// The chunk in which memory is mapped.
  [[nodiscard]] std::int64_t chunk_bytes() const noexcept { return chunk_bytes_; }

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (bytes <= 0 || bytes > max_bytes || alignment > chunk_bytes_)
      throw OutOfMemory(name, bytes,
                        "asked for no bytes, more than an address space, or a larger alignment than a chunk");
    Range range;
    range.bytes = rounded_up(bytes > reserve_bytes_ ? bytes : reserve_bytes_, chunk_bytes_);
    CUdeviceptr address = 0;
    if (driver_->reserve(&address, static_cast<std::size_t>(range.bytes), 0, 0, 0) != CUDA_SUCCESS)
      throw OutOfMemory(name, range.bytes, "the GPU's address space has no room to reserve");
    auto* const begin = reinterpret_cast<std::byte*>(address);
    Range& kept = ranges_.emplace(begin, std::move(range)).first->second;
    try {
      grow(begin, kept, bytes);
    } catch (...) {
      deallocate(begin, bytes);
      throw;
    }
    return begin;
  }

  void deallocate(std::byte* pointer, std::int64_t) noexcept {
    auto const found = ranges_.find(pointer);
    if (found == ranges_.end()) return;
    shrink(pointer, found->second, 0);
    driver_->unreserve(reinterpret_cast<CUdeviceptr>(pointer), static_cast<std::size_t>(found->second.bytes));
    ranges_.erase(found);
  }

  /// Maps or unmaps chunks so that the first `new_bytes` are there. Throws OutOfMemory, and changes nothing, beyond
  /// the reservation or the GPU's memory.
  void resize(std::byte* pointer, std::int64_t, std::int64_t new_bytes) {
    Range& range = ranges_.at(pointer);
    if (new_bytes > range.bytes)
      throw OutOfMemory(name, new_bytes, "more than the " + std::to_string(range.bytes) + " bytes that were reserved");
    grow(pointer, range, new_bytes);
    shrink(pointer, range, new_bytes);
  }

 private:
  static constexpr int current_device = -1;
  static constexpr std::int64_t max_bytes = std::int64_t{1} << 50;

  /// Reserved addresses, and the memory that is mapped to the first of them, a handle for each chunk.
  struct Range {
    std::int64_t bytes = 0;
    std::vector<CUmemGenericAllocationHandle> chunks;
  };

  static std::int64_t rounded_up(std::int64_t bytes, std::int64_t to) { return (bytes + to - 1) / to * to; }

  [[nodiscard]] CUdeviceptr chunk_address(std::byte* begin, std::size_t index) const {
    return reinterpret_cast<CUdeviceptr>(begin) + index * static_cast<std::size_t>(chunk_bytes_);
  }

  void grow(std::byte* begin, Range& range, std::int64_t bytes) {
    std::size_t const before = range.chunks.size();
    auto const wanted = static_cast<std::size_t>(rounded_up(bytes, chunk_bytes_) / chunk_bytes_);
    range.chunks.reserve(wanted);
    while (range.chunks.size() < wanted)
      if (!map_chunk(begin, range)) {
        shrink(begin, range, static_cast<std::int64_t>(before) * chunk_bytes_);
        throw OutOfMemory(name, bytes, "the GPU has not that much free memory");
      }
  }

  /// One more chunk; false, and nothing changed, when the GPU has none.
  [[nodiscard]] bool map_chunk(std::byte* begin, Range& range) const {
    auto const size = static_cast<std::size_t>(chunk_bytes_);
    CUdeviceptr const address = chunk_address(begin, range.chunks.size());
    CUmemGenericAllocationHandle handle{};
    if (driver_->create(&handle, size, &properties_, 0) != CUDA_SUCCESS) return false;
    if (driver_->map(address, size, 0, handle, 0) != CUDA_SUCCESS) {
      driver_->release(handle);
      return false;
    }
    CUmemAccessDesc access{};
    access.location = properties_.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    range.chunks.push_back(handle);  // reserved by grow
    if (driver_->set_access(address, size, &access, 1) == CUDA_SUCCESS) return true;
    unmap_last(begin, range);
    return false;
  }

  void unmap_last(std::byte* begin, Range& range) const noexcept {
    driver_->unmap(chunk_address(begin, range.chunks.size() - 1), static_cast<std::size_t>(chunk_bytes_));
    driver_->release(range.chunks.back());
    range.chunks.pop_back();
  }

  void shrink(std::byte* begin, Range& range, std::int64_t bytes) const noexcept {
    auto const wanted = static_cast<std::size_t>(rounded_up(bytes, chunk_bytes_) / chunk_bytes_);
    while (range.chunks.size() > wanted) unmap_last(begin, range);
  }

  std::int64_t reserve_bytes_, chunk_bytes_ = 0;
  std::shared_ptr<detail::VirtualMemoryDriver const> driver_;
  CUmemAllocationProp properties_{};
  std::map<std::byte*, Range> ranges_;
};
static_assert(AllocatorPolicy<VirtualAllocator> && ResizableAllocator<VirtualAllocator>);

}  // namespace folio
