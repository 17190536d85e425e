// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// An array in device memory, for the examples: filled from a vector, read back into one.

#include <cstddef>
#include <folio/cuda_runtime.cuh>
#include <span>
#include <vector>

template <class T>
class DeviceArray {
 public:
  DeviceArray(std::size_t size, cudaStream_t stream) : size_(size), stream_(stream) {
    void* memory = nullptr;
    folio::check_cuda(cudaMallocAsync(&memory, size * sizeof(T), stream), "allocating an array");
    data_ = static_cast<T*>(memory);
  }
  DeviceArray(std::vector<T> const& values, cudaStream_t stream) : DeviceArray(values.size(), stream) { fill(values); }
  DeviceArray(DeviceArray const&) = delete;
  DeviceArray& operator=(DeviceArray const&) = delete;
  ~DeviceArray() { cudaFreeAsync(data_, stream_); }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Copies `values` to the beginning. Waits: the vector may go afterwards.
  void fill(std::span<T const> values) const {
    folio::check_cuda(cudaMemcpyAsync(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice, stream_),
                      "copying to the device");
    folio::check_cuda(cudaStreamSynchronize(stream_), "waiting for a copy");
  }

  /// All elements. Waits for what was launched on the stream before.
  [[nodiscard]] std::vector<T> to_host() const {
    std::vector<T> values(size_);
    folio::check_cuda(cudaMemcpyAsync(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost, stream_),
                      "copying to the host");
    folio::check_cuda(cudaStreamSynchronize(stream_), "waiting for a copy");
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
  cudaStream_t stream_;
};

/// A stream that does not wait for others.
class Stream {
 public:
  Stream() { folio::check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor): stands for it everywhere

 private:
  cudaStream_t stream_ = nullptr;
};

/// What an example returns where there is no GPU: CTest calls that a skipped test.
inline constexpr int skipped = 77;
