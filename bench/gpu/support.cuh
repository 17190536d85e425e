// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What smoke tests and figures share: streams, graphs, arrays of random numbers, copies to the host.

#include <algorithm>
#include <cstdint>
#include <folio/cuda_runtime.cuh>
#include <folio/kernels/element.cuh>
#include <folio/kernels/launch.cuh>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "jobs.hpp"

namespace folio::bench {

class Stream {
 public:
  Stream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor): stands for a cudaStream_t
  void wait() const { check_cuda(cudaStreamSynchronize(stream_), "waiting for a stream"); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// What `work(stream)` launches, captured once. The kernels must have run before: loading one may not be captured.
class Graph {
 public:
  template <class Work>
  Graph(cudaStream_t stream, Work const& work) {
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
    work(stream);
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(stream, &graph), "ending a capture");
    cudaError_t const code = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(code, "instantiating a graph");
  }
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  Graph& operator=(Graph&&) = delete;
  ~Graph() {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  }
  void launch(cudaStream_t stream) const { check_cuda(cudaGraphLaunch(graph_, stream), "launching a graph"); }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

/// Random numbers from a count, nearly normal, the same everywhere.
[[nodiscard]] FOLIO_HOST_DEVICE inline float random_number(std::uint64_t i, std::uint32_t seed) {
  std::uint64_t x = (i + 1) * 0x9E3779B97F4A7C15U + seed * 0xD1B54A32D192ED03U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  x ^= x >> 31;
  auto const sum = static_cast<int>((x & 0xFFFF) + (x >> 16 & 0xFFFF) + (x >> 32 & 0xFFFF) + (x >> 48));
  return static_cast<float>(sum - 2 * 65535) * (1.0F / 37837.0F);
}

/// Kernel. Any grid of one dimension.
template <class T>
__global__ void fill_kernel(T* to, std::int64_t size, std::uint32_t seed) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size;
       i += std::int64_t{gridDim.x} * blockDim.x)
    ops::store_element(random_number(static_cast<std::uint64_t>(i), seed), to[i]);
}

/// Device memory.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::int64_t size) : size_(size) {
    if (size > 0) check_cuda(cudaMalloc(&data_, static_cast<std::size_t>(size) * sizeof(T)), "allocating");
  }
  /// With random numbers, so that no run is on zeros.
  Array(std::int64_t size, std::uint32_t seed, cudaStream_t stream) : Array(size) {
    ops::launch(fill_kernel<T>, ops::grid_for(size), 256, 0, stream, data_, size, seed);
  }
  explicit Array(std::vector<T> const& values) : Array(static_cast<std::int64_t>(values.size())) {
    if (values.empty()) return;
    check_cuda(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "a copy to it");
  }
  Array(Array&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Array() {
    if (data_ != nullptr) cudaFree(data_);
  }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t bytes() const { return size_ * static_cast<std::int64_t>(sizeof(T)); }

  /// What work on `stream` leaves in [first, first + count).
  [[nodiscard]] std::vector<T> to_host(cudaStream_t stream, std::int64_t first, std::int64_t count) const {
    std::vector<T> values(static_cast<std::size_t>(count));
    if (count > 0)
      check_cuda(
          cudaMemcpyAsync(values.data(), data_ + first, values.size() * sizeof(T), cudaMemcpyDeviceToHost, stream),
          "a copy to the host");
    check_cuda(cudaStreamSynchronize(stream), "waiting for a stream");
    return values;
  }
  [[nodiscard]] std::vector<T> to_host(cudaStream_t stream) const { return to_host(stream, 0, size_); }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

template <class T>
[[nodiscard]] std::vector<float> to_floats(std::vector<T> const& values) {
  std::vector<float> floats;
  floats.reserve(values.size());
  for (T const& x : values) floats.push_back(ops::load_element(x));
  return floats;
}

/// Random numbers on the host.
[[nodiscard]] inline std::vector<float> random_rows(std::int64_t size, std::uint32_t seed) {
  std::vector<float> rows;
  for (std::int64_t i = 0; i < size; ++i) rows.push_back(random_number(static_cast<std::uint64_t>(i), seed));
  return rows;
}

/// Largest difference, relative to the largest expected magnitude; huge where one of the two is not finite.
template <class A, class B>
[[nodiscard]] double difference(std::vector<A> const& expected, std::vector<B> const& found) {
  double worst = expected.size() == found.size() ? 0 : 1e30, largest = 1e-30;
  for (std::size_t i = 0; i < expected.size() && i < found.size(); ++i) {
    auto const a = static_cast<double>(expected[i]), b = static_cast<double>(found[i]);
    if (a == b) continue;  // infinities too
    double const here = std::fabs(a - b);
    worst = std::isfinite(here) ? std::max(worst, here) : 1e30;
    if (std::isfinite(a)) largest = std::max(largest, std::fabs(a));
  }
  for (A const& x : expected)
    if (auto const a = static_cast<double>(x); std::isfinite(a)) largest = std::max(largest, std::fabs(a));
  return worst / largest;
}

/// Throws unless `found` is within `tolerance` of `expected`.
template <class A, class B>
void expect_near(std::string const& what, std::vector<A> const& expected, std::vector<B> const& found,
                 double tolerance) {
  double const worst = difference(expected, found);
  if (!(worst <= tolerance))
    throw std::runtime_error(what + " is off by " + std::to_string(worst) + " where " + std::to_string(tolerance) +
                             " is allowed");
}

/// Throws unless the two hold the same bytes.
template <class T>
void expect_same(std::string const& what, std::vector<T> const& expected, std::vector<T> const& found) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < expected.size() && i < found.size(); ++i) different += expected[i] == found[i] ? 0 : 1;
  if (different != 0 || expected.size() != found.size())
    throw std::runtime_error(what + " differs in " + std::to_string(different) + " of " +
                             std::to_string(expected.size()) + " places");
}

}  // namespace folio::bench
