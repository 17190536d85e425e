// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// ggml's flash attention at the shapes of attend_bench: one query token, 32 query heads over 8 kv heads of 128. Built
// where CMake finds an installed ggml.
//
//   ggml_attend f16|q8_0|q4_0 <context> <layers> <threads> <repetitions> [<sequences>]
//
// One graph has a node for each layer, and the layers together are larger than the caches. Prints the median time of a
// layer over the repetitions.

#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: ggml_attend f16|q8_0|q4_0 <context> <layers> <threads> <repetitions> [<sequences>]\n");
    return 1;
  }
  constexpr std::int64_t dim = 128, kv_heads = 8, query_heads = 32;
  std::string const name = argv[1];
  std::int64_t const context = std::atoi(argv[2]), layers = std::atoi(argv[3]),
                     sequences = argc > 6 ? std::atoi(argv[6]) : 1;
  int const threads = std::atoi(argv[4]), repetitions = std::atoi(argv[5]);
  ggml_type const type = name == "f16" ? GGML_TYPE_F16 : name == "q8_0" ? GGML_TYPE_Q8_0 : GGML_TYPE_Q4_0;

  std::int64_t const rows = context * kv_heads * sequences;
  std::size_t const bytes = ggml_row_size(type, dim) * static_cast<std::size_t>(rows);
  std::size_t const memory = static_cast<std::size_t>(layers) * (2 * bytes + (1 << 20)) + (64 << 20);
  ggml_context* const ggml = ggml_init({memory, nullptr, false});
  ggml_cgraph* const graph = ggml_new_graph(ggml);
  std::vector<float> numbers(static_cast<std::size_t>(rows * dim));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::sin(0.37F * static_cast<float>(i % 7919));
  std::vector<std::uint8_t> stored(bytes);
  ggml_quantize_chunk(type, numbers.data(), stored.data(), 0, rows, dim, nullptr);
  ggml_tensor* const q = ggml_new_tensor_4d(ggml, GGML_TYPE_F32, dim, 1, query_heads, sequences);
  for (std::int64_t i = 0; i < dim * query_heads * sequences; ++i)
    static_cast<float*>(q->data)[i] = std::cos(0.1F * static_cast<float>(i));
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    ggml_tensor* const k = ggml_new_tensor_4d(ggml, type, dim, context, kv_heads, sequences);
    ggml_tensor* const v = ggml_new_tensor_4d(ggml, type, dim, context, kv_heads, sequences);
    std::memcpy(k->data, stored.data(), bytes);
    std::memcpy(v->data, stored.data(), bytes);
    float const scale = 1.0F / std::sqrt(static_cast<float>(dim));
    ggml_build_forward_expand(graph, ggml_flash_attn_ext(ggml, q, k, v, nullptr, scale, 0.0F, 0.0F));
  }
  ggml_threadpool_params pool_params = ggml_threadpool_params_default(threads);
  ggml_cplan plan = ggml_graph_plan(graph, threads, ggml_threadpool_new(&pool_params));
  std::vector<std::uint8_t> work(plan.work_size + 64);
  plan.work_data = work.data();

  std::vector<double> seconds;  // of a layer; the first repetition warms up
  for (int i = 0; i <= repetitions; ++i) {
    auto const start = std::chrono::steady_clock::now();
    ggml_graph_compute(graph, &plan);
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(time.count() / static_cast<double>(layers));
  }
  std::sort(seconds.begin(), seconds.end());
  double const median = seconds[seconds.size() / 2];
  std::printf("%s: %.3f ms per layer, %.2f GB/s\n", argv[1], median * 1e3,
              2 * static_cast<double>(bytes) / median / 1e9);
}
