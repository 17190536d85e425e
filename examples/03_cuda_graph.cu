// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A step captured once as a CUDA graph and replayed while sequences grow, end and begin: the tables' addresses and
// sizes never change, each upload fills them anew, and rows that a step does not need are padding.

#include <cmath>
#include <folio/cuda.cuh>
#include <iostream>
#include <string>
#include <vector>

#include "device_array.cuh"

namespace {

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
constexpr int num_query_heads = 4, max_sequences = 4;
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::F16, folio::DeviceAllocator>;

/// A graph that can be launched again and again.
class Graph {
 public:
  template <class Step>
  Graph(cudaStream_t stream, Step const& step) {
    folio::check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
    step();
    cudaGraph_t graph = nullptr;
    folio::check_cuda(cudaStreamEndCapture(stream, &graph), "ending a capture");
    folio::check_cuda(cudaGraphInstantiate(&graph_, graph, 0), "instantiating a graph");
    cudaGraphDestroy(graph);
  }
  Graph(Graph const&) = delete;
  Graph& operator=(Graph const&) = delete;
  ~Graph() { cudaGraphExecDestroy(graph_); }
  void launch(cudaStream_t stream) const { folio::check_cuda(cudaGraphLaunch(graph_, stream), "launching a graph"); }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

int main() {
  if (std::string const why = folio::no_cuda_device_because(); !why.empty()) {
    std::cout << "SKIP: " << why << "\n";
    return skipped;
  }
  Stream const stream;
  Cache cache({.num_blocks = {64}}, folio::DeviceAllocator(stream));
  // All keys are alike, so a query attends to the mean of the values that its sequence holds.
  std::size_t const row_size = max_sequences * model.kv_heads * model.head_dim;
  DeviceArray<float> const keys(std::vector<float>(row_size, 0.0F), stream), values(row_size, stream);
  DeviceArray<float> const q(std::vector<float>(max_sequences * num_query_heads * model.head_dim, 1.0F), stream);
  DeviceArray<float> const out(q.size(), stream);

  // [graph]
  // Every step is padded to this size, so that one graph serves them all.
  folio::DeviceBatch batch(cache,
                           {.num_sequences = max_sequences, .num_query_tokens = max_sequences, .num_tokens = 128});
  auto plan =
      folio::ops::plan_attention(batch.view(), num_query_heads, {}, {.stream = stream});  // for every step of the batch
  DeviceArray<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()), stream);
  plan.set_workspace({workspace.data(), workspace.size()});
  auto const launch_step = [&] {
    for (int layer = 0; layer < model.layers; ++layer) {
      folio::ops::append(batch.view(), layer, keys.data(), values.data(), stream);
      folio::ops::attend(plan, layer, folio::AttentionIo{q.data(), num_query_heads, out.data()});
    }
  };
  // CUDA loads a kernel when it is first launched, which may not be in a capture: so one empty step comes before.
  batch.upload({}, stream);
  launch_step();
  Graph const step(stream, launch_step);
  // [/graph]

  struct Generation {
    folio::Sequence sequence;
    int began;
  };
  std::vector<Generation> running;
  float worst = 0;
  for (int i = 0; i < 60; ++i) {
    if (i % 7 == 0 && running.size() < max_sequences) running.push_back({cache.create(), i});
    if (i % 20 == 19) running.erase(running.begin());  // its blocks serve others from the next upload on
    values.fill(std::vector<float>(row_size, static_cast<float>(i)));
    // [replay]
    std::vector<folio::BatchItem> items;
    for (Generation& generation : running) {
      generation.sequence.extend(1);
      items.emplace_back(&generation.sequence);
    }
    batch.upload(items, stream);  // on the stream, outside of the graph
    step.launch(stream);
    // [/replay]
    std::vector<float> const result = out.to_host();
    for (std::size_t r = 0; r < running.size(); ++r) {
      float const mean = static_cast<float>(running[r].began + i) / 2;
      for (std::size_t e = 0; e < result.size() / max_sequences; ++e)
        if (float const error = std::abs(result[r * result.size() / max_sequences + e] - mean); !(error <= worst))
          worst = error;  // a NaN is worst of all
    }
  }
  std::cout << "60 replays of one graph; largest difference to the mean of the values: " << worst << "\n";
  return worst < 1e-3F && std::cout.flush() ? 0 : 1;
}
