// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's runtime with every error checked. Host code: nvcc is not needed, the toolkit's headers are.

#include <cuda_runtime.h>

#include <folio/error.hpp>
#include <string>
#include <utility>

namespace folio {

/// A call of the CUDA runtime that failed: what was tried, and CUDA's own name and words for why.
class CudaError : public Error {
 public:
  CudaError(char const* what, cudaError_t code)
      : Error(std::string("folio: ") + what + " failed: " + cudaGetErrorName(code) + ": " + cudaGetErrorString(code)),
        code_(code) {}

  [[nodiscard]] cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_;
};

/// Throws CudaError unless `code` is cudaSuccess. `what` was tried, in words that end before "failed".
inline void check_cuda(cudaError_t code, char const* what) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // so that the next call is not blamed for this one
  throw CudaError(what, code);
}

/// Why no GPU can be used here, or an empty string when one can: for programs and tests that go on without one.
[[nodiscard]] inline std::string no_cuda_device_because() {
  int count = 0;
  cudaError_t const code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return {};
  static_cast<void>(cudaGetLastError());
  return code == cudaSuccess ? "the CUDA runtime finds no device" : cudaGetErrorString(code);
}

/// CUDA event: a point in a stream's work that others can wait for. Movable; belongs to the device that was current
/// when it was made. Without timing, so that recording and waiting are cheap.
class CudaEvent {
 public:
  CudaEvent() { check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }
  CudaEvent(CudaEvent&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  CudaEvent& operator=(CudaEvent&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~CudaEvent() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  /// The event is now this point of `stream`: everything launched there so far comes before it.
  void record(cudaStream_t stream) { check_cuda(cudaEventRecord(event_, stream), "recording an event"); }
  /// What is launched on `stream` from now on runs after the event. The host does not wait.
  void make_wait(cudaStream_t stream) const {
    check_cuda(cudaStreamWaitEvent(stream, event_, 0), "making a stream wait for an event");
  }
  /// Whether the event has come. One that was never recorded has.
  [[nodiscard]] bool done() const {
    cudaError_t const code = cudaEventQuery(event_);
    if (code == cudaErrorNotReady) return false;
    check_cuda(code, "asking for an event");
    return true;
  }
  /// The host waits for the event.
  void wait() const { check_cuda(cudaEventSynchronize(event_), "waiting for an event"); }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace folio
