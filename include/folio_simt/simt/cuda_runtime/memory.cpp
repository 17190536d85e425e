// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory that CUDA gives. All of it is of simt::allocate, so that what kernels touch is checked.
#include <algorithm>
#include <iterator>

#include "runtime.hpp"

namespace simt::cuda {
namespace {

std::byte* bytes_of(std::uintptr_t address) { return reinterpret_cast<std::byte*>(address); }

cudaError_t new_memory(void** pointer, std::size_t bytes, Allocation allocation, char const* name) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  bool const on_device = allocation.type != cudaMemoryTypeHost;
  if (on_device && !take_device_bytes(bytes)) return cudaErrorMemoryAllocation;
  try {
    *pointer = allocate(bytes, name);
  } catch (std::exception const&) {  // the arena, or the heap, is full
    if (on_device) state().device_used -= bytes;
    return cudaErrorMemoryAllocation;
  }
  if (allocation.type == cudaMemoryTypeDevice) detail::keep_from_host(static_cast<std::byte const*>(*pointer));
  allocation.bytes = bytes;
  add_memory(reinterpret_cast<std::uintptr_t>(*pointer), std::move(allocation));
  return cudaSuccess;
}

/// The entry of memory that starts here and can be freed.
std::map<std::uintptr_t, Allocation>::iterator find_to_free(void const* pointer) {
  auto& memory = state().memory;
  auto const found = memory.find(reinterpret_cast<std::uintptr_t>(pointer));
  return found != memory.end() && (found->second.given_back || found->second.mapped) ? memory.end() : found;
}

void free_now(std::uintptr_t address) {
  Allocation& allocation = state().memory.at(address);
  if (!allocation.live) allow(bytes_of(address), allocation.bytes);
  allocation.live = false;
  allocation.given_back = true;
  if (allocation.type != cudaMemoryTypeHost) state().device_used -= allocation.bytes;
  if (allocation.pool != nullptr) {
    Pool& pool = *allocation.pool;
    pool.used -= allocation.bytes;
    pool.reserved = std::max(pool.used, std::min(pool.reserved, pool.threshold));
  }
  deallocate(bytes_of(address));
}

/// The address is known at once; the memory is there when the stream has come to it.
cudaError_t new_stream_ordered(void** pointer, std::size_t bytes, std::shared_ptr<Pool> const& pool, char const* name,
                               cudaStream_t stream) {
  CUstream_st const* const found = find_stream(stream);
  if (found == nullptr) return cudaErrorInvalidResourceHandle;
  if (found->capture != nullptr) return cudaErrorStreamCaptureUnsupported;  // CUDA would make a node of it
  if (pool->limit != 0 && pool->used + bytes > pool->limit) return cudaErrorMemoryAllocation;
  cudaError_t const code = new_memory(pointer, bytes, {.call = name, .pool = pool, .live = false}, "device memory");
  if (code != cudaSuccess || bytes == 0) return code;
  pool->used += bytes;
  pool->used_high = std::max(pool->used_high, pool->used);
  pool->reserved = std::max(pool->reserved, pool->used);
  pool->reserved_high = std::max(pool->reserved_high, pool->reserved);
  forbid(*pointer, bytes);
  auto const begin = [address = reinterpret_cast<std::uintptr_t>(*pointer)] {
    Allocation& allocation = state().memory.at(address);
    allocation.live = true;
    allow(bytes_of(address), allocation.bytes);
  };
  return enqueue(stream, {.run = begin, .bookkeeping = true});
}

std::shared_ptr<Pool> const& default_pool() {
  static auto& pool = *new std::shared_ptr<Pool>(std::make_shared<Pool>());
  return pool;
}
CUmemPoolHandle_st& default_pool_handle() {
  static CUmemPoolHandle_st handle{default_pool()};
  return handle;
}

Pool* find_pool(cudaMemPool_t handle) {
  if (handle == &default_pool_handle()) return handle->pool.get();
  return state().pools.count(handle) == 1 ? handle->pool.get() : nullptr;
}

std::size_t* pool_attribute(Pool& pool, cudaMemPoolAttr attribute) {
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold:
      return &pool.threshold;
    case cudaMemPoolAttrReservedMemCurrent:
      return &pool.reserved;
    case cudaMemPoolAttrReservedMemHigh:
      return &pool.reserved_high;
    case cudaMemPoolAttrUsedMemCurrent:
      return &pool.used;
    case cudaMemPoolAttrUsedMemHigh:
      return &pool.used_high;
    default:
      return nullptr;
  }
}

bool is_managed(void const* pointer, std::size_t bytes) {
  return bytes > 0 && memory_type(pointer, bytes) == cudaMemoryTypeManaged;
}

bool is_place(cudaMemLocation const& location) {
  return location.type == cudaMemLocationTypeDevice ? location.id == 0 : location.type == cudaMemLocationTypeHost;
}

}  // namespace

bool take_device_bytes(std::size_t bytes) {
  std::size_t& used = state().device_used;
  if (bytes > device_bytes - used) return false;
  used += bytes;
  return true;
}

void add_memory(std::uintptr_t address, Allocation allocation) {
  auto& memory = state().memory;
  auto it = memory.lower_bound(address);
  while (it != memory.begin() && std::prev(it)->first + std::prev(it)->second.bytes > address) --it;
  while (it != memory.end() && it->first < address + allocation.bytes) it = memory.erase(it);  // gone long ago
  memory.emplace(address, std::move(allocation));
}

Allocation* find_memory(void const* pointer) {
  auto const address = reinterpret_cast<std::uintptr_t>(pointer);
  auto it = state().memory.upper_bound(address);
  if (it == state().memory.begin()) return nullptr;
  --it;
  // On the heap, what is gone may be the host's own memory by now. The sanitizer remembers it.
  if (it->second.given_back && !checks_memory()) return nullptr;
  return address - it->first < it->second.bytes ? &it->second : nullptr;
}

std::optional<cudaMemoryType> memory_type(void const* pointer, std::size_t bytes) {
  Allocation const* allocation = find_memory(pointer);
  if (allocation == nullptr) return cudaMemoryTypeUnregistered;
  cudaMemoryType const type = allocation->type;
  auto const address = reinterpret_cast<std::uintptr_t>(pointer);
  for (std::uintptr_t at = address;;) {
    bool const usable = allocation != nullptr && !allocation->given_back && (at == address || allocation->mapped);
    if (!usable) return std::nullopt;
    auto const entry = std::prev(state().memory.upper_bound(at));
    at = entry->first + entry->second.bytes;
    if (at >= address + bytes) return type;
    if (!allocation->mapped) return std::nullopt;
    allocation = find_memory(bytes_of(at));
  }
}

void check_range(char const* verb, void const* pointer, std::size_t bytes) {
  auto const address = reinterpret_cast<std::uintptr_t>(pointer);
  for (std::uintptr_t at = address; at < address + bytes;) {
    Allocation const* const allocation = find_memory(bytes_of(at));
    if (allocation == nullptr && at == address) return;  // not CUDA's memory
    if (allocation == nullptr || !allocation->live)
      throw Error(Fault::out_of_bounds,
                  std::string(verb) + " " + std::to_string(bytes) + " bytes of memory that is " +
                      (allocation == nullptr     ? "not mapped"
                       : !allocation->given_back ? "not there yet in the order of the streams"
                                                 : "gone: it was freed before this operation came to run") +
                      (allocation == nullptr ? "" : std::string(" (") + allocation->call + ")"));
    auto const entry = std::prev(state().memory.upper_bound(at));
    at = entry->first + entry->second.bytes;
  }
}

}  // namespace simt::cuda

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return call("cudaMalloc", InCapture::unsafe,
              [&] { return new_memory(pointer, bytes, {.call = "cudaMalloc"}, "device memory"); });
}

/// Waits for the device, but not where the memory is stream-ordered, as CUDA documents.
cudaError_t cudaFree(void* pointer) {
  return call("cudaFree", InCapture::unsafe, [&] {
    if (pointer == nullptr) return cudaSuccess;
    auto const found = find_to_free(pointer);
    if (found == state().memory.end() || found->second.type == cudaMemoryTypeHost) return cudaErrorInvalidValue;
    if (found->second.pool == nullptr) wait_for_device();
    free_now(found->first);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  return call("cudaHostAlloc", InCapture::unsafe, [&] {
    if (flags > (cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined))
      return cudaErrorInvalidValue;
    return new_memory(pointer, bytes, {.type = cudaMemoryTypeHost, .call = "cudaHostAlloc"}, "pinned memory");
  });
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return call("cudaMallocHost", InCapture::unsafe, [&] {
    return new_memory(pointer, bytes, {.type = cudaMemoryTypeHost, .call = "cudaMallocHost"}, "pinned memory");
  });
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return call("cudaHostGetDevicePointer", [&] {
    if (memory_type(host, 1) != cudaMemoryTypeHost) return cudaErrorInvalidValue;
    return *device = host, cudaSuccess;
  });
}

/// May take as long as a wait does, and counts as one, but CUDA does not say that it waits, so nothing is run.
cudaError_t cudaFreeHost(void* pointer) {
  return call("cudaFreeHost", InCapture::unsafe, [&] {
    if (pointer == nullptr) return cudaSuccess;
    auto const found = find_to_free(pointer);
    if (found == state().memory.end() || found->second.type != cudaMemoryTypeHost) return cudaErrorInvalidValue;
    ++state().host_waits;
    free_now(found->first);
    return cudaSuccess;
  });
}

cudaError_t cudaMallocManaged(void** pointer, std::size_t bytes, unsigned flags) {
  return call("cudaMallocManaged", InCapture::unsafe, [&] {
    if (bytes == 0 || (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost)) return cudaErrorInvalidValue;
    return new_memory(pointer, bytes, {.type = cudaMemoryTypeManaged, .call = "cudaMallocManaged"}, "managed memory");
  });
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMallocAsync",
              [&] { return new_stream_ordered(pointer, bytes, default_pool(), "cudaMallocAsync", stream); });
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, std::size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  return call("cudaMallocFromPoolAsync", [&] {
    if (find_pool(pool) == nullptr) return cudaErrorInvalidValue;
    return new_stream_ordered(pointer, bytes, pool->pool, "cudaMallocFromPoolAsync", stream);
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return call("cudaFreeAsync", [&] {
    if (pointer == nullptr) return cudaSuccess;
    CUstream_st const* const found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (found->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    auto const entry = find_to_free(pointer);
    if (entry == state().memory.end() || entry->second.type != cudaMemoryTypeDevice) return cudaErrorInvalidValue;
    entry->second.given_back = true;
    return enqueue(stream, {.run = [address = entry->first] { free_now(address); }, .bookkeeping = true});
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call("cudaMemGetInfo", [&] {
    *free = device_bytes - state().device_used;
    return *total = device_bytes, cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, void const* pointer) {
  return call("cudaPointerGetAttributes", [&] {
    *attributes = {.type = memory_type(pointer, 1).value_or(cudaMemoryTypeUnregistered), .device = 0};
    if (attributes->type == cudaMemoryTypeUnregistered) attributes->device = cudaInvalidDeviceId;
    if (attributes->type != cudaMemoryTypeUnregistered) attributes->devicePointer = const_cast<void*>(pointer);
    if (attributes->type != cudaMemoryTypeDevice) attributes->hostPointer = const_cast<void*>(pointer);
    return cudaSuccess;
  });
}

/// Advice changes nothing here, but must be right.
cudaError_t cudaMemAdvise(void const* pointer, std::size_t bytes, cudaMemoryAdvise advice, cudaMemLocation location) {
  return call("cudaMemAdvise", [&] {
    bool const needs_place = advice != cudaMemAdviseSetReadMostly && advice != cudaMemAdviseUnsetReadMostly &&
                             advice != cudaMemAdviseUnsetPreferredLocation;
    return is_managed(pointer, bytes) && (!needs_place || is_place(location)) ? cudaSuccess : cudaErrorInvalidValue;
  });
}
cudaError_t cudaMemPrefetchAsync(void const* pointer, std::size_t bytes, cudaMemLocation location, unsigned flags,
                                 cudaStream_t stream) {
  return call("cudaMemPrefetchAsync", [&] {
    if (!is_managed(pointer, bytes) || !is_place(location) || flags != 0) return cudaErrorInvalidValue;
    return enqueue(stream, {.run = [=] { check_range("a prefetch moves", pointer, bytes); }});
  });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* handle, cudaMemPoolProps const* properties) {
  return call("cudaMemPoolCreate", [&] {
    if (handle == nullptr || properties == nullptr || properties->allocType != cudaMemAllocationTypePinned ||
        properties->handleTypes != cudaMemHandleTypeNone)
      return cudaErrorInvalidValue;
    if (properties->location.type != cudaMemLocationTypeDevice) return cudaErrorInvalidValue;
    if (properties->location.id != 0) return cudaErrorInvalidDevice;
    auto fresh = std::make_unique<CUmemPoolHandle_st>();
    fresh->pool = std::make_shared<Pool>(Pool{.limit = properties->maxSize});
    *handle = fresh.get();
    state().pools.emplace(fresh.get(), std::move(fresh));
    return cudaSuccess;
  });
}

/// What is allocated from it stays until it is freed, as CUDA says.
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  return call("cudaMemPoolDestroy",
              [&] { return state().pools.erase(pool) == 1 ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolSetAttribute", [&] {
    Pool* const pool = find_pool(handle);
    if (pool == nullptr || value == nullptr) return cudaErrorInvalidValue;
    if (attribute <= cudaMemPoolReuseAllowInternalDependencies) return cudaSuccess;
    std::size_t* const place = pool_attribute(*pool, attribute);
    auto const number = *static_cast<std::uint64_t const*>(value);
    bool const is_high = attribute == cudaMemPoolAttrReservedMemHigh || attribute == cudaMemPoolAttrUsedMemHigh;
    if (place == nullptr || !(place == &pool->threshold || (is_high && number == 0))) return cudaErrorInvalidValue;
    *place = number;
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolGetAttribute", [&] {
    Pool* const pool = find_pool(handle);
    if (pool == nullptr || value == nullptr) return cudaErrorInvalidValue;
    if (std::size_t const* const place = pool_attribute(*pool, attribute))
      *static_cast<std::uint64_t*>(value) = *place;
    else
      *static_cast<int*>(value) = 1;  // how memory is reused: as CUDA has it by default
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t handle, std::size_t bytes_to_keep) {
  return call("cudaMemPoolTrimTo", [&] {
    Pool* const pool = find_pool(handle);
    if (pool == nullptr) return cudaErrorInvalidValue;
    pool->reserved = std::max(pool->used, std::min(pool->reserved, bytes_to_keep));
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return call("cudaDeviceGetDefaultMemPool", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    return *pool = &default_pool_handle(), cudaSuccess;
  });
}

}  // extern "C"
// NOLINTEND
