// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the GPU's benchmarks share: timing by events, data, and the GPU's own limits, measured in the same run.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <folio/cuda.cuh>
#include <random>
#include <string>
#include <vector>

namespace folio::bench {

/// Bytes that a benchmark of bandwidth walks through before it comes back to the first: several times a large GPU's L2.
inline constexpr std::int64_t working_set_bytes = std::int64_t{1} << 30;

/// The shape of most of today's models. The layers are as many as fill the working set.
inline constexpr ModelConfig bench_model{.kv_heads = 8, .head_dim = 128};
inline constexpr std::int32_t num_query_heads = 32;
inline constexpr std::int32_t row_floats = bench_model.kv_heads * bench_model.head_dim;  ///< a token's keys in a layer

/// A stream and a pair of events with timing.
class Timer {
 public:
  Timer() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    for (cudaEvent_t& event : events_) check_cuda(cudaEventCreate(&event), "making an event");
  }
  Timer(Timer const&) = delete;
  Timer& operator=(Timer const&) = delete;
  ~Timer() {
    for (cudaEvent_t const event : events_) cudaEventDestroy(event);
    cudaStreamDestroy(stream_);
  }

  [[nodiscard]] cudaStream_t stream() const { return stream_; }

  /// Seconds on the device that `work` takes, which launches on stream().
  template <class Work>
  double seconds(Work&& work) {
    check_cuda(cudaEventRecord(events_[0], stream_), "timing");
    work();
    check_cuda(cudaEventRecord(events_[1], stream_), "timing");
    check_cuda(cudaEventSynchronize(events_[1]), "timing");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "timing");
    return milliseconds / 1e3;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t events_[2] = {};
};

/// Device memory of the benchmarks, filled with random numbers so that no run is on zeros.
template <class T>
class Array {
 public:
  explicit Array(std::int64_t size) : size_(size) {
    check_cuda(cudaMalloc(reinterpret_cast<void**>(&data_), static_cast<std::size_t>(size) * sizeof(T)), "allocating");
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<T> values(static_cast<std::size_t>(std::min<std::int64_t>(size, 1 << 22)));
    for (T& x : values) ops::store_element(normal(random), x);
    auto const part = static_cast<std::int64_t>(values.size());
    for (std::int64_t at = 0; at < size; at += part)
      check_cuda(cudaMemcpy(data_ + at, values.data(), static_cast<std::size_t>(std::min(part, size - at)) * sizeof(T),
                            cudaMemcpyHostToDevice),
                 "filling");
  }
  Array(Array const&) = delete;
  Array& operator=(Array const&) = delete;
  ~Array() { cudaFree(data_); }
  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::int64_t size_;
};

/// Kernel. Reads `count` 16-byte chunks and keeps their sum: what reading alone costs.
template <class Unit = uint4>
__global__ void read_kernel(Unit const* from, std::int64_t count, unsigned* sink) {
  unsigned sum = 0;
  std::int64_t const stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    Unit const chunk = from[i];
    sum += chunk.x ^ chunk.y ^ chunk.z ^ chunk.w;
  }
  if (sum == 0x12345678U) *sink = sum;  // practically never, and the compiler cannot know
}

/// Bytes a second that the GPU reads from its memory when it does nothing else. The best of several passes.
[[nodiscard]] inline double read_bandwidth() {
  static double const limit = [] {
    Timer timer;
    Array<float> const memory(working_set_bytes / 4);
    Array<float> const sink(1);
    int processors = 0;
    check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0), "asking for processors");
    double best = 0;
    for (int pass = 0; pass < 10; ++pass) {
      double const seconds = timer.seconds([&] {
        ops::launch(read_kernel<>, static_cast<unsigned>(processors) * 16, 512, 0, timer.stream(),
                    reinterpret_cast<uint4 const*>(memory.data()), working_set_bytes / 16,
                    reinterpret_cast<unsigned*>(sink.data()));
      });
      best = std::max(best, static_cast<double>(working_set_bytes) / seconds);
    }
    return best;
  }();
  return limit;
}

/// Bytes a second, read and written ones together, of a large copy within the GPU's memory. The best of several.
[[nodiscard]] inline double copy_bandwidth() {
  static double const limit = [] {
    Timer timer;
    Array<float> const from(working_set_bytes / 8), to(working_set_bytes / 8);
    double best = 0;
    for (int pass = 0; pass < 10; ++pass) {
      double const seconds = timer.seconds([&] {
        check_cuda(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(working_set_bytes) / 2,
                                   cudaMemcpyDeviceToDevice, timer.stream()),
                   "copying");
      });
      best = std::max(best, static_cast<double>(working_set_bytes) / seconds);
    }
    return best;
  }();
  return limit;
}

/// Bytes that one token takes in one layer: codes and parameters of all heads' keys and values, without padding.
template <QuantizerPolicy Q>
[[nodiscard]] constexpr std::int64_t stored_bytes_per_token() {
  constexpr std::int32_t dim = bench_model.head_dim;
  return 2 * std::int64_t{bench_model.kv_heads} * (code_bytes<Q>(dim) + Q::param_bytes(dim));
}

}  // namespace folio::bench
