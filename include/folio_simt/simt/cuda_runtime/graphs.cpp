// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Stream capture and graphs. A graph is launched by putting its nodes into the stream, in one of the orders that it
// allows.
#include <algorithm>
#include <numeric>

#include "runtime.hpp"

namespace simt::cuda {
namespace {

/// Whether the work of every stream of the capture comes before the end of the stream in which it began.
bool is_joined(Capture const& capture, CUstream_st const& origin) {
  std::vector<bool> reached(capture.nodes.size());
  std::vector<std::size_t> open = origin.tails;
  while (!open.empty()) {
    std::size_t const node = open.back();
    open.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    open.insert(open.end(), capture.nodes[node].after.begin(), capture.nodes[node].after.end());
  }
  return std::all_of(reached.begin(), reached.end(), [](bool r) { return r; });
}

}  // namespace

void invalidate(Capture& capture) { capture.valid = false; }

void end(Capture& capture) {
  capture.ended = true;
  for (auto const& stream : state().streams)
    if (stream->capture.get() == &capture) {
      stream->tails.clear();
      stream->capture.reset();
    }
}

Capture* capture_in_the_way() {
  for (auto const& stream : state().streams)
    if (Capture* const capture = stream->capture.get())
      if (capture->mode == cudaStreamCaptureModeGlobal ||
          (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id()))
        return capture;
  return nullptr;
}

}  // namespace simt::cuda

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&] {
    CUstream_st* const stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream == state().streams[0].get()) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture != nullptr) return cudaErrorIllegalState;
    stream->capture =
        std::make_shared<Capture>(Capture{.origin = stream, .mode = mode, .thread = std::this_thread::get_id()});
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&] {
    CUstream_st const* const stream = find_stream(handle);
    if (stream == nullptr || graph == nullptr) return cudaErrorInvalidValue;
    *graph = nullptr;
    auto const capture = stream->capture;
    if (capture == nullptr) return cudaErrorIllegalState;
    if (capture->origin != stream) return capture->valid = false, cudaErrorStreamCaptureUnmatched;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    bool const joined = is_joined(*capture, *stream);
    end(*capture);
    if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
    if (!joined) return cudaErrorStreamCaptureUnjoined;
    auto fresh = std::make_unique<CUgraph_st>(CUgraph_st{std::move(capture->nodes)});
    *graph = fresh.get();
    state().graphs.emplace(fresh.get(), std::move(fresh));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&] {
    CUstream_st const* const stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (status == nullptr) return cudaErrorInvalidValue;
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture->valid   ? cudaStreamCaptureStatusActive
                                         : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* handle, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", [&] {
    if (handle == nullptr || state().graphs.count(graph) == 0) return cudaErrorInvalidValue;
    auto exec = std::make_unique<CUgraphExec_st>(CUgraphExec_st{graph->nodes});
    *handle = exec.get();
    state().execs.emplace(exec.get(), std::move(exec));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return call("cudaGraphLaunch", [&] {
    if (state().execs.count(exec) == 0) return cudaErrorInvalidValue;
    CUstream_st const* const stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) return cudaErrorStreamCaptureUnsupported;  // CUDA would make a node of it
    std::vector<Node> const nodes = exec->nodes;
    std::vector<bool> given(nodes.size());
    for (std::size_t left = nodes.size(); left > 0; --left) {
      std::vector<std::size_t> ready;
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        auto const& after = nodes[i].after;
        if (!given[i] && std::all_of(after.begin(), after.end(), [&](std::size_t n) { return given[n]; }))
          ready.push_back(i);
      }
      std::size_t const next = ready[draw(ready.size())];
      given[next] = true;
      if (cudaError_t const code = enqueue(handle, nodes[next].operation); code != cudaSuccess) return code;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy",
              [&] { return state().execs.erase(exec) == 1 ? cudaSuccess : cudaErrorInvalidValue; });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy",
              [&] { return state().graphs.erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue; });
}

}  // extern "C"
// NOLINTEND
