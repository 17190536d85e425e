// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Copies and fills. Pinned and device memory is read and written when the copy runs. Pageable memory is read at once,
// and a copy to it is waited for, but not in a graph, which reads and writes it whenever it runs.
#include <algorithm>
#include <cstring>

#include "runtime.hpp"

namespace simt::cuda {
namespace {

struct Copy {
  void* to;
  void const* from;
  std::size_t bytes;
};

constexpr bool is_host(cudaMemoryType type) { return type == cudaMemoryTypeUnregistered || type == cudaMemoryTypeHost; }

/// Whether the direction is one that memory of these types has. CUDA leaves a wrong one undefined.
bool fits(cudaMemcpyKind kind, cudaMemoryType to, cudaMemoryType from) {
  auto const host = [](cudaMemoryType type) { return type != cudaMemoryTypeDevice; };
  auto const device = [](cudaMemoryType type) { return type != cudaMemoryTypeUnregistered; };
  switch (kind) {
    case cudaMemcpyHostToHost:
      return host(to) && host(from);
    case cudaMemcpyHostToDevice:
      return device(to) && host(from);
    case cudaMemcpyDeviceToHost:
      return host(to) && device(from);
    case cudaMemcpyDeviceToDevice:
      return device(to) && device(from);
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

void run(Copy const& copy) {
  check_range("a copy reads", copy.from, copy.bytes);
  check_range("a copy writes", copy.to, copy.bytes);
  DeviceAccess const access;
  std::memmove(copy.to, copy.from, copy.bytes);
}

/// `at_once`: the source is read now. Sets `waits` when the host must wait for the copy.
cudaError_t enqueue_copy(Copy copy, cudaMemcpyKind kind, cudaStream_t stream, bool at_once, bool& waits) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (copy.bytes == 0) return cudaSuccess;
  auto const to = memory_type(copy.to, copy.bytes), from = memory_type(copy.from, copy.bytes);
  if (copy.to == nullptr || copy.from == nullptr || !to || !from || !fits(kind, *to, *from))
    return cudaErrorInvalidValue;
  CUstream_st const* const found = find_stream(stream);
  if (found == nullptr) return cudaErrorInvalidResourceHandle;
  Operation operation;
  if (is_host(*from) && !is_host(*to)) operation.kind = Kind::copy_to_device;
  if (!is_host(*from) && is_host(*to)) operation.kind = Kind::copy_to_host;
  bool const captured = found->capture != nullptr;
  if (*to == cudaMemoryTypeUnregistered || *from == cudaMemoryTypeUnregistered) ++state().pageable_copies;
  waits = waits || (*to == cudaMemoryTypeUnregistered && !captured) || (is_host(*to) && is_host(*from) && !captured);
  operation.run = [copy] { run(copy); };
  if (!captured && (at_once || *from == cudaMemoryTypeUnregistered)) {
    check_range("a copy reads", copy.from, copy.bytes);
    DeviceAccess const access;
    auto const* const first = static_cast<std::byte const*>(copy.from);
    operation.run = [copy, source = std::vector<std::byte>(first, first + copy.bytes)]() mutable {
      copy.from = source.data();
      run(copy);
    };
  }
  return enqueue(stream, std::move(operation));
}

cudaError_t enqueue_fill(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  auto const type = memory_type(to, bytes);
  if (!type || type == cudaMemoryTypeUnregistered) return cudaErrorInvalidValue;
  return enqueue(stream, {.run = [=] {
                   check_range("a fill writes", to, bytes);
                   DeviceAccess const access;
                   std::memset(to, value, bytes);
                 }});
}

cudaError_t copy_and_wait(Copy const& copy, cudaMemcpyKind kind, cudaStream_t stream, bool waits) {
  cudaError_t const code = enqueue_copy(copy, kind, stream, false, waits);
  if (code == cudaSuccess && waits) wait_for_stream(*find_stream(stream));
  return code;
}

}  // namespace
}  // namespace simt::cuda

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

/// Waits, but not for copies within the device.
cudaError_t cudaMemcpy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", InCapture::unsafe, [&] {
    bool const waits = is_host(memory_type(to, bytes).value_or(cudaMemoryTypeDevice)) ||
                       is_host(memory_type(from, bytes).value_or(cudaMemoryTypeDevice));
    return copy_and_wait({to, from, bytes}, kind, nullptr, waits);
  });
}

cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync", [&] { return copy_and_wait({to, from, bytes}, kind, stream, false); });
}

/// The copies of a batch run in any order. The source is read when the copy runs only if srcAccessOrder is Stream.
cudaError_t cudaMemcpyBatchAsync(void* const* to, void const* const* from, std::size_t const* bytes, std::size_t count,
                                 cudaMemcpyAttributes* attributes, std::size_t* starts, std::size_t num_attributes,
                                 cudaStream_t stream) {
  return call("cudaMemcpyBatchAsync", [&] {
    bool right = to != nullptr && from != nullptr && bytes != nullptr && count > 0 && attributes != nullptr &&
                 starts != nullptr && num_attributes > 0 && num_attributes <= count && starts[0] == 0;
    for (std::size_t i = 0; right && i < num_attributes; ++i)
      right = starts[i] < count && (i == 0 || starts[i] > starts[i - 1]) &&
              attributes[i].srcAccessOrder >= cudaMemcpySrcAccessOrderStream &&
              attributes[i].srcAccessOrder <= cudaMemcpySrcAccessOrderAny && attributes[i].flags <= 1;
    CUstream_st const* const found = find_stream(stream);
    if (!right || found == nullptr || found == state().streams[0].get()) return cudaErrorInvalidValue;
    if (found->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    for (std::size_t i = 0; i < count; ++i) {
      auto const to_type = memory_type(to[i], bytes[i]), from_type = memory_type(from[i], bytes[i]);
      if (bytes[i] == 0 || to[i] == nullptr || from[i] == nullptr || !to_type || !from_type)
        return cudaErrorInvalidValue;
    }
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) std::swap(order[i] = i, order[draw(i + 1)]);
    bool waits = false;
    for (std::size_t const i : order) {
      auto const next = std::upper_bound(starts, starts + num_attributes, i) - starts;
      bool const in_stream_order = attributes[next - 1].srcAccessOrder == cudaMemcpySrcAccessOrderStream;
      cudaError_t const code =
          enqueue_copy({to[i], from[i], bytes[i]}, cudaMemcpyDefault, stream, !in_stream_order, waits);
      if (code != cudaSuccess) return code;
    }
    if (waits) wait_for_stream(*found);
    return cudaSuccess;
  });
}

/// Waits only where it fills memory of the host.
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return call("cudaMemset", InCapture::unsafe, [&] {
    cudaError_t const code = enqueue_fill(to, value, bytes, nullptr);
    if (code == cudaSuccess && memory_type(to, bytes) != cudaMemoryTypeDevice) wait_for_stream(*find_stream(nullptr));
    return code;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", [&] { return enqueue_fill(to, value, bytes, stream); });
}

}  // extern "C"
// NOLINTEND
