// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the benchmarks share: data, memory that is not in a cache, and the machine's own limits, measured in the same
// run.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <random>
#include <span>
#include <vector>

namespace folio::bench {

/// Bytes that a benchmark of bandwidth walks through before it comes back to the first: far more than a core's own
/// caches. The limits below are measured over as many, so that a large shared cache helps both alike.
inline constexpr std::int64_t working_set_bytes = std::int64_t{256} << 20;

/// The shape of most of today's models: 8 kv heads of 128 elements. The layers are as many as fill the working set.
inline constexpr ModelConfig bench_model{.kv_heads = 8, .head_dim = 128};
inline constexpr std::int32_t row_floats = bench_model.kv_heads * bench_model.head_dim;  ///< a token's keys in a layer

using Clock = std::chrono::steady_clock;
[[nodiscard]] inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[nodiscard]] inline double median(std::vector<double> seconds) {
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

[[nodiscard]] inline std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

[[nodiscard]] inline std::vector<float> random_floats(std::int64_t n) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(to_size(n));
  for (float& x : numbers) x = normal(random);
  return numbers;
}

/// Bytes that one token takes in one layer: codes and parameters of all heads' keys and values, without padding.
template <QuantizerPolicy Q>
[[nodiscard]] constexpr std::int64_t stored_bytes_per_token() {
  constexpr std::int32_t dim = bench_model.head_dim;
  std::int64_t param_bytes = Q::param_bytes(dim);
  if constexpr (is_tile_format<Q>) param_bytes = Q::tile_param_bytes(dim) / Q::tile_tokens;
  return 2 * std::int64_t{bench_model.kv_heads} * (code_bytes<Q>(dim) + param_bytes);
}

/// How many layers of `num_tokens` tokens fill the working set.
[[nodiscard]] constexpr std::int32_t layers_to_fill(std::int64_t bytes_per_token, std::int32_t num_tokens) {
  return static_cast<std::int32_t>(working_set_bytes / (bytes_per_token * num_tokens)) + 1;
}

/// Makes every layer of every block what its first layer is, so that a large cache is filled by writing one layer.
template <class Cache, class View>
void copy_first_layer_to_all(Cache const& cache, View const& view) {
  std::int64_t const layer_bytes = view.sequence(0, 0).layer().map().layer_bytes();
  for (std::int64_t block = 0; block <= cache.num_blocks(); ++block) {
    std::byte* const first = cache.pool() + block * cache.block_bytes();
    for (std::int32_t layer = 1; layer < cache.shape().layers; ++layer)
      std::memcpy(first + layer * layer_bytes, first, to_size(layer_bytes));
  }
}

/// Bytes a second that `threads` read from memory when they do nothing else: the limit of everything that reads a
/// cache. The best of several passes over the working set.
[[nodiscard]] inline double read_bandwidth(ThreadPool& threads) {
  static std::vector<std::uint64_t> const words(to_size(working_set_bytes) / 8, 1);
  constexpr std::int64_t num_parts = 256;
  std::vector<std::uint64_t> sums(num_parts);
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    auto const start = Clock::now();
    threads.parallel_for(num_parts, [&](std::int64_t part) {
      std::size_t const size = words.size() / num_parts;
      std::uint64_t const* const begin = words.data() + to_size(part) * size;
      std::array<std::uint64_t, 32> lanes{};
      for (std::size_t i = 0; i < size; i += lanes.size())
        for (std::size_t j = 0; j < lanes.size(); ++j) lanes[j] += begin[i + j];
      std::uint64_t sum = 0;
      for (std::uint64_t const lane : lanes) sum += lane;
      sums[to_size(part)] = sum;
    });
    double const seconds = seconds_since(start);
    std::uint64_t sum = 0;
    for (std::uint64_t const part : sums) sum += part;
    if (sum == words.size()) best = std::max(best, static_cast<double>(working_set_bytes) / seconds);
  }
  return best;
}

/// Where the memory of a copy lies: in a core's caches, or beyond them.
enum class Copy { from_cache, to_cache };

/// Bytes a second, read and written ones together, that one thread's memcpy moves between `chunk_bytes` of memory that
/// it uses again and again and the working set: the limit of everything that stores rows, or reads them back.
[[nodiscard]] inline double copy_bandwidth(Copy direction, std::int64_t chunk_bytes) {
  std::vector<std::byte> large(to_size(working_set_bytes), std::byte{1}), small(to_size(chunk_bytes), std::byte{2});
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    auto const start = Clock::now();
    std::int64_t moved = 0;
    for (std::int64_t at = 0; at + chunk_bytes <= working_set_bytes; at += chunk_bytes) {
      if (direction == Copy::from_cache)
        std::memcpy(large.data() + at, small.data(), small.size());
      else
        std::memcpy(small.data(), large.data() + at, small.size());
      asm volatile("" : : "r"(large.data()), "r"(small.data()) : "memory");  // every copy is needed
      moved += 2 * chunk_bytes;
    }
    best = std::max(best, static_cast<double>(moved) / seconds_since(start));
  }
  return best;
}

}  // namespace folio::bench
