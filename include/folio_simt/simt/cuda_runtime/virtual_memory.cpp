// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Virtual memory: addresses are a range of simt's memory that is forbidden where nothing is mapped. What a handle holds
// is kept apart while it is not mapped, and copied in and out, so a handle is mapped in one place at a time. Nothing
// here waits for streams, as CUDA does not either in all cases: what still uses memory that is unmapped is reported.
#include <cuda.h>

#include <algorithm>

#include "runtime.hpp"

namespace simt::cuda {
namespace {

constexpr std::size_t granularity = 65536, host_page = 4096;

struct Reservation {
  std::size_t bytes;
  std::byte* memory;  // of which the range is the part that is aligned
};
struct Physical {
  std::size_t bytes;
  std::vector<std::byte> contents = {};  // while not mapped; empty: fresh
  bool mapped = false, released = false;
};
struct Mapping {
  std::size_t bytes;
  CUmemGenericAllocationHandle handle;
};

struct VirtualMemory {
  std::map<CUdeviceptr, Reservation> reservations;
  std::map<CUmemGenericAllocationHandle, Physical> physical;
  std::map<CUdeviceptr, Mapping> mappings;
  CUmemGenericAllocationHandle last_handle = 0;
};
VirtualMemory& virtual_memory() {
  static auto& all = *new VirtualMemory;
  return all;
}

template <class Body>
CUresult driver_call(char const* name, Body const& body) {
  std::lock_guard const lock(state().mutex);
  if (int const code = begin_call(name, InCapture::unsafe)) return static_cast<CUresult>(code);
  return body();
}

std::byte* pointer_to(CUdeviceptr address) {
  return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(address));
}

bool is_of_device(CUmemAllocationProp const* properties) {
  return properties != nullptr && properties->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
         properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE &&
         properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE && properties->location.id == 0;
}

bool is_whole(CUdeviceptr number) { return number % granularity == 0; }

/// The mappings that fill a range, or none where they do not fill it.
std::vector<CUdeviceptr> mappings_of(CUdeviceptr address, std::size_t bytes) {
  auto const& mappings = virtual_memory().mappings;
  std::vector<CUdeviceptr> found;
  CUdeviceptr at = address;
  for (auto it = mappings.find(at); at < address + bytes; it = mappings.find(at)) {
    if (it == mappings.end()) return {};
    found.push_back(at);
    at += it->second.bytes;
  }
  return at == address + bytes ? found : std::vector<CUdeviceptr>{};
}

bool overlaps(CUdeviceptr address, std::size_t bytes) {
  auto const& mappings = virtual_memory().mappings;
  return std::any_of(mappings.begin(), mappings.end(), [&](auto const& mapping) {
    return mapping.first < address + bytes && address < mapping.first + mapping.second.bytes;
  });
}

bool is_reserved(CUdeviceptr address, std::size_t bytes) {
  auto const& all = virtual_memory().reservations;
  auto const above = all.upper_bound(address);
  if (above == all.begin()) return false;
  auto const& [begin, reservation] = *std::prev(above);
  return address + bytes <= begin + reservation.bytes;
}

void drop_if_unused(CUmemGenericAllocationHandle handle) {
  auto& physical = virtual_memory().physical;
  auto const found = physical.find(handle);
  if (!found->second.released || found->second.mapped) return;
  state().device_used -= found->second.bytes;
  physical.erase(found);
}

void unmap(CUdeviceptr address) {
  DeviceAccess const access;
  Mapping const mapping = virtual_memory().mappings.at(address);
  Physical& physical = virtual_memory().physical.at(mapping.handle);
  allow(pointer_to(address), mapping.bytes);
  if (!physical.released) physical.contents.assign(pointer_to(address), pointer_to(address) + mapping.bytes);
  forbid(pointer_to(address), mapping.bytes);
  physical.mapped = false;
  virtual_memory().mappings.erase(address);
  Allocation& entry = state().memory.at(static_cast<std::uintptr_t>(address));
  entry.live = false;
  entry.given_back = true;
  drop_if_unused(mapping.handle);
}

}  // namespace

void tell_virtual_leaks(std::vector<std::string>& leaks) {
  tell_leaks(virtual_memory().reservations, "address ranges", leaks);
  tell_leaks(virtual_memory().physical, "handles of cuMemCreate", leaks);
}

}  // namespace simt::cuda

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

CUresult cuMemGetAllocationGranularity(std::size_t* bytes, CUmemAllocationProp const* properties,
                                       CUmemAllocationGranularity_flags) {
  return driver_call("cuMemGetAllocationGranularity", [&] {
    if (bytes == nullptr || !is_of_device(properties)) return CUDA_ERROR_INVALID_VALUE;
    return *bytes = granularity, CUDA_SUCCESS;
  });
}

CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment, CUdeviceptr,
                             unsigned long long flags) {
  return driver_call("cuMemAddressReserve", [&] {
    if (address == nullptr || bytes == 0 || bytes % host_page != 0 || (alignment & (alignment - 1)) != 0 || flags != 0)
      return CUDA_ERROR_INVALID_VALUE;
    std::size_t const unit = std::max(alignment, granularity);
    std::byte* memory = nullptr;
    try {
      memory = simt::detail::reserve_memory(bytes + unit, "a virtual range");
    } catch (std::exception const&) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    simt::forbid(memory, bytes + unit);
    simt::detail::keep_from_host(memory);
    *address = (reinterpret_cast<std::uintptr_t>(memory) + unit - 1) / unit * unit;
    virtual_memory().reservations[*address] = {bytes, memory};
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  return driver_call("cuMemAddressFree", [&] {
    auto& reservations = virtual_memory().reservations;
    auto const found = reservations.find(address);
    if (found == reservations.end() || found->second.bytes != bytes || overlaps(address, bytes))
      return CUDA_ERROR_INVALID_VALUE;
    std::byte* const memory = found->second.memory;
    simt::allow(memory, static_cast<std::size_t>(pointer_to(address) - memory) + bytes);
    simt::deallocate(memory);
    reservations.erase(found);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes, CUmemAllocationProp const* properties,
                     unsigned long long flags) {
  return driver_call("cuMemCreate", [&] {
    if (handle == nullptr || bytes == 0 || !is_whole(bytes) || !is_of_device(properties) || flags != 0)
      return CUDA_ERROR_INVALID_VALUE;
    if (!take_device_bytes(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    *handle = ++virtual_memory().last_handle;
    virtual_memory().physical.emplace(*handle, Physical{bytes});
    return CUDA_SUCCESS;
  });
}

/// The memory stays until it is unmapped.
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return driver_call("cuMemRelease", [&] {
    auto const found = virtual_memory().physical.find(handle);
    if (found == virtual_memory().physical.end() || found->second.released) return CUDA_ERROR_INVALID_VALUE;
    found->second.released = true;
    drop_if_unused(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return driver_call("cuMemMap", [&] {
    auto const found = virtual_memory().physical.find(handle);
    if (found == virtual_memory().physical.end() || found->second.released) return CUDA_ERROR_INVALID_VALUE;
    Physical& physical = found->second;
    if (bytes != physical.bytes || !is_whole(address) || offset != 0 || flags != 0 || !is_reserved(address, bytes) ||
        overlaps(address, bytes))
      return CUDA_ERROR_INVALID_VALUE;
    if (physical.mapped) return CUDA_ERROR_NOT_SUPPORTED;  // CUDA would let both see the same bytes
    DeviceAccess const access;
    std::byte* const pointer = pointer_to(address);
    simt::allow(pointer, bytes);
    if (physical.contents.empty())
      std::fill_n(pointer, bytes, std::byte{0xff});
    else
      std::copy(physical.contents.begin(), physical.contents.end(), pointer);
    simt::forbid(pointer, bytes);
    physical.contents = {};
    physical.mapped = true;
    virtual_memory().mappings[address] = {bytes, handle};
    add_memory(static_cast<std::uintptr_t>(address),
               {.bytes = bytes, .call = "cuMemMap", .live = false, .mapped = true});
    return CUDA_SUCCESS;
  });
}

CUresult cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  return driver_call("cuMemUnmap", [&] {
    auto const found = mappings_of(address, bytes);
    for (CUdeviceptr const mapping : found) unmap(mapping);
    return found.empty() ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

/// Memory that may only be read may be written here too.
CUresult cuMemSetAccess(CUdeviceptr address, std::size_t bytes, CUmemAccessDesc const* access, std::size_t count) {
  return driver_call("cuMemSetAccess", [&] {
    auto const found = mappings_of(address, bytes);
    if (found.empty() || access == nullptr || count != 1 || access->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
      return CUDA_ERROR_INVALID_VALUE;
    if (access->location.id != 0) return CUDA_ERROR_INVALID_DEVICE;
    bool const live = access->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE;
    live ? simt::allow(pointer_to(address), bytes) : simt::forbid(pointer_to(address), bytes);
    for (CUdeviceptr const mapping : found) state().memory.at(static_cast<std::uintptr_t>(mapping)).live = live;
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
// NOLINTEND
