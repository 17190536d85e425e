// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The one device, errors, and what every call begins and ends with.
#include <algorithm>

#include "runtime.hpp"

namespace simt {

using cuda::state;

void streams(std::uint64_t seed) {
  std::lock_guard const lock(state().mutex);
  cuda::State& s = state();
  cuda::drop_queued();
  s.seed = s.random = seed;
  s.planted.reset();
  s.host_waits = s.pageable_copies = 0;
  s.issued.clear();
}

std::int64_t num_host_waits() noexcept { return state().host_waits; }
std::int64_t num_pageable_copies() noexcept { return state().pageable_copies; }
std::int64_t num_first_launches_in_captures() noexcept { return state().first_launches_in_captures; }
std::int64_t num_copies_to_device() noexcept { return state().issued[cuda::Kind::copy_to_device]; }
std::int64_t num_copies_to_host() noexcept { return state().issued[cuda::Kind::copy_to_host]; }
std::int64_t num_launches() noexcept { return state().issued[cuda::Kind::launch]; }

void fail_next(std::string const& call, int code, std::int64_t calls_before) {
  state().planted = {call, code, calls_before};
}
bool forget_failure() {
  bool const was_there = state().planted.has_value();
  state().planted.reset();
  return was_there;
}

std::vector<std::string> leaks() {
  std::lock_guard const lock(state().mutex);
  cuda::State const& s = state();
  std::vector<std::string> leaks;
  for (auto const& [address, allocation] : s.memory)
    if (!allocation.given_back && !allocation.mapped)
      leaks.push_back(std::to_string(allocation.bytes) + " bytes of " + allocation.call);
  auto const num_streams =
      std::count_if(s.streams.begin(), s.streams.end(), [](auto const& each) { return each->live; });
  if (num_streams > 2) leaks.push_back(std::to_string(num_streams - 2) + " streams");
  cuda::tell_leaks(s.events, "events", leaks);
  cuda::tell_leaks(s.graphs, "graphs", leaks);
  cuda::tell_leaks(s.execs, "executable graphs", leaks);
  cuda::tell_leaks(s.pools, "memory pools", leaks);
  cuda::tell_virtual_leaks(leaks);
  return leaks;
}

namespace cuda {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

int attribute_value(cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return 1024;
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return default_shared_bytes;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return max_shared_bytes;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return max_shared_bytes + 1024;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return 1024;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
      return 65536;
    case cudaDevAttrMultiProcessorCount:
      return 4;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return 2048;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return 32;
    case cudaDevAttrL2CacheSize:
      return 1 << 20;
    case cudaDevAttrComputeCapabilityMajor:
      return 9;
    case cudaDevAttrAsyncEngineCount:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

int begin_call(char const* name, InCapture rule) {
  State& s = state();
  if (auto& planted = s.planted; planted && (planted->call.empty() || planted->call == name))
    if (planted->calls_before-- == 0) return std::exchange(planted, std::nullopt)->code;
  if (s.in_host_function) return cudaErrorNotPermitted;
  Capture* const capture = rule == InCapture::unsafe ? capture_in_the_way() : nullptr;
  if (capture == nullptr) return cudaSuccess;
  invalidate(*capture);
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t end_call(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

}  // namespace cuda
}  // namespace simt

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

char const* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define SIMT_CUDA_ERROR(name, number, words) \
  case name:                                 \
    return #name;
    SIMT_CUDA_ERRORS(SIMT_CUDA_ERROR)
#undef SIMT_CUDA_ERROR
  }
  return "unrecognized error code";
}

char const* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define SIMT_CUDA_ERROR(name, number, words) \
  case name:                                 \
    return words;
    SIMT_CUDA_ERRORS(SIMT_CUDA_ERROR)
#undef SIMT_CUDA_ERROR
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", [&] { return *count = 1, cudaSuccess; });
}
cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", [&] { return *device = 0, cudaSuccess; });
}
cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", [&] { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", [&] {
    if (properties == nullptr) return cudaErrorInvalidValue;
    if (device != 0) return cudaErrorInvalidDevice;
    *properties = {"the stand-in for the CUDA runtime", device_bytes};
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    return *value = attribute_value(attribute), cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* num_blocks, void const* kernel, int block_size,
                                                          std::size_t shared_bytes) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (block_size < 1) return cudaErrorInvalidValue;
    return *num_blocks = block_size <= 1024 && shared_bytes <= max_shared_bytes ? 2 : 0, cudaSuccess;
  });
}

}  // extern "C"
// NOLINTEND
