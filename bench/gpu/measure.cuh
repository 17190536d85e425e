// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Timing. Whatever is compared is measured in one loop, a sample of each in turn, beside what the GPU can read and copy
// in the same loop: clocks and temperatures are then the same for all.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support.cuh"

namespace folio::bench {

/// What a candidate's rate is a part of: the GPU's own limits, or what the first candidate reaches.
enum class Limit : std::uint8_t { read, copy, first, none };

/// One thing to be timed.
struct Candidate {
  std::string name;
  std::function<void(cudaStream_t)> work;  ///< a sample: captured once, then replayed
  int repeats = 1;                         ///< how often a sample does what is timed: once for each layer
  double bytes = 0;                        ///< that have to be moved each time
  double flops = 0;                        ///< that have to be computed each time
  Limit limit = Limit::none;
  std::string ratio_to = {};           ///< the name of a candidate that this one's speed is told in
  std::function<double()> error = {};  ///< of the result that the last sample left, relative; empty: not checked
  double tolerance = 0;                ///< of the error: above it the figure is none
  bool captured = true;                ///< false: launched anew for each sample
};

/// Bytes that a sample walks through before it comes back to the first: several times a large GPU's L2.
[[nodiscard]] inline std::int64_t working_set_bytes(Run const& run) {
  return run.tiny ? std::int64_t{1} << 12 : std::int64_t{1} << 30;
}

/// Kernel. Reads `count` chunks of 16 bytes, four at a time, and keeps their sum: what reading alone costs.
template <class Unit = uint4>
__global__ void read_kernel(Unit const* from, std::int64_t count, unsigned* sink) {
  unsigned sum = 0;
  std::int64_t const stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += 4 * stride) {
    Unit chunks[4];
    for (int k = 0; k < 4; ++k) chunks[k] = i + k * stride < count ? from[i + k * stride] : Unit{};
    for (Unit const& chunk : chunks) sum += chunk.x ^ chunk.y ^ chunk.z ^ chunk.w;
  }
  if (sum == 0x12345678U) *sink = sum;  // practically never, and the compiler cannot know
}

/// The GPU's own limits as candidates: reading, and copying with bytes read and written counted.
class Limits {
 public:
  explicit Limits(Run const& run, cudaStream_t stream)
      : from_(working_set_bytes(run) / 4, 1, stream), to_(working_set_bytes(run) / 8), sink_(1) {
    check_cuda(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, 0),
               "counting multiprocessors");
  }
  [[nodiscard]] Candidate read() const {
    return {.name = "gpu/limit/read",
            .work =
                [this](cudaStream_t stream) {
                  ops::launch(read_kernel<>, static_cast<unsigned>(multiprocessors_) * 8, 512, 0, stream,
                              reinterpret_cast<uint4 const*>(from_.data()), from_.size() / 4, sink_.data());
                },
            .bytes = static_cast<double>(from_.bytes())};
  }
  [[nodiscard]] Candidate copy() const {
    return {.name = "gpu/limit/copy",
            .work =
                [this](cudaStream_t stream) {
                  check_cuda(cudaMemcpyAsync(to_.data(), from_.data(), static_cast<std::size_t>(to_.bytes()),
                                             cudaMemcpyDeviceToDevice, stream),
                             "copying");
                },
            .bytes = 2 * static_cast<double>(to_.bytes())};
  }

 private:
  Array<float> from_, to_;
  Array<unsigned> sink_;
  int multiprocessors_ = 1;
};

/// Measures the candidates side by side and writes a line for each. Throws where the deadline leaves too few samples
/// for a median, and, when all lines are written, where a result is wrong.
void measure_together(Run const& run, std::vector<Candidate> candidates, cudaStream_t stream);

/// The median of some values, and any other part of the way through them.
[[nodiscard]] inline double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
}

[[nodiscard]] inline int least_samples(Run const& run) { return run.tiny ? 2 : 20; }

}  // namespace folio::bench
