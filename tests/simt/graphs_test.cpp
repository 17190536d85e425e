// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stand-in for the CUDA runtime: stream capture and graphs.
#include <functional>
#include <utility>

#include "simt/stream_machine.hpp"

TEST_CASE("A graph repeats its work on the same addresses, with what is there then") {
  Machine m(GENERATE(0U, 1U, 2U));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamBeginCapture(m.a, cudaStreamCaptureModeGlobal) == cudaSuccess);
  upload(m.device, m.pinned, m.a);
  add(m.device, m.device, 10, m.a);
  download(m.pinned2, m.device, m.a);
  cudaStreamCaptureStatus status{};
  REQUIRE(cudaStreamIsCapturing(m.a, &status) == cudaSuccess);
  REQUIRE(status == cudaStreamCaptureStatusActive);
  REQUIRE(cudaStreamEndCapture(m.a, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(m.pinned2[0] == 0);  // captured, not run
  REQUIRE(simt::num_launches() == 0);
  for (int first : {0, 100}) {
    for (int i = 0; i < size; ++i) m.pinned[i] = first + i;
    REQUIRE(cudaGraphLaunch(exec, m.b) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(m.b) == cudaSuccess);
    REQUIRE(m.holds(m.pinned2, first + 10));
  }
  REQUIRE(simt::num_launches() == 2);
  REQUIRE(simt::num_copies_to_device() == 2);
  REQUIRE(cudaGraphExecDestroy(exec) == cudaSuccess);
}

/// Nobody but the test below launches it.
template <class T = int>
__global__ void captured_kernel(T* out) {
  *out = 1;
}

TEST_CASE("A kernel whose first launch is captured is counted, for CUDA would load it in the capture") {
  Machine m(0);
  std::int64_t const before = simt::num_first_launches_in_captures();
  cudaLaunchConfig_t config{};
  config.gridDim = config.blockDim = dim3(1);
  config.stream = m.a;
  for (int launched = 0; launched < 2; ++launched) {
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamBeginCapture(m.a, cudaStreamCaptureModeGlobal) == cudaSuccess);
    REQUIRE(cudaLaunchKernelEx(&config, captured_kernel<>, m.device) == cudaSuccess);
    REQUIRE(cudaStreamEndCapture(m.a, &graph) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
    REQUIRE(simt::num_first_launches_in_captures() == before + 1);
  }
}

TEST_CASE("A capture spreads to streams that wait for it, and must end where it began") {
  bool const joins = GENERATE(true, false);
  auto const program = [&](Machine& m) {
    cudaGraph_t graph = nullptr;
    cudaStreamBeginCapture(m.a, cudaStreamCaptureModeGlobal);
    upload(m.device, m.pinned, m.a);
    cudaEventRecord(m.event, m.a);
    cudaStreamWaitEvent(m.b, m.event);
    add(m.device, m.device2, 10, m.b);
    cudaEventRecord(m.event, m.b);
    upload(m.device, m.pinned, m.a);
    if (joins) cudaStreamWaitEvent(m.a, m.event);
    download(m.pinned2, m.device2, m.a);
    cudaError_t const code = cudaStreamEndCapture(m.a, &graph);
    REQUIRE(code == (joins ? cudaSuccess : cudaErrorStreamCaptureUnjoined));
    REQUIRE(cudaStreamWaitEvent(m.b, m.event) == cudaErrorCapturedEvent);  // it was of the capture
    if (!joins) return true;
    cudaGraphExec_t exec = nullptr;
    cudaGraphInstantiate(&exec, graph);
    cudaGraphLaunch(exec, m.a);
    cudaStreamSynchronize(m.a);
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    return m.holds(m.pinned2, 10);
  };
  REQUIRE(num_right(program) == 20);
  cudaGetLastError();
}

TEST_CASE("What may not be called during a capture is refused and spoils the capture") {
  Machine m(0);
  void* memory = nullptr;
  cudaEventRecord(m.event, m.b);
  std::pair<cudaError_t, std::function<cudaError_t()>> const calls[] = {
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(m.a); }},
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamQuery(m.a); }},
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); }},
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&memory, 16); }},
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaFree(m.device); }},
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaHostAlloc(&memory, 16, 0); }},
      {cudaErrorStreamCaptureUnsupported, [&] { return cudaEventSynchronize(m.event); }},
      {cudaErrorStreamCaptureUnsupported,
       [&] { return cudaMemcpy(m.pinned2, m.device, num_bytes, cudaMemcpyDeviceToHost); }},
      {cudaErrorStreamCaptureIsolation, [&] { return cudaStreamWaitEvent(m.a, m.event); }},
  };
  for (auto const& [code, call] : calls) {
    CAPTURE(&call - &calls[0].second);
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamBeginCapture(m.a, cudaStreamCaptureModeGlobal) == cudaSuccess);
    REQUIRE(call() == code);
    REQUIRE(add(m.device, m.device, 1, m.a) == cudaErrorStreamCaptureInvalidated);
    REQUIRE(cudaStreamEndCapture(m.a, &graph) == cudaErrorStreamCaptureInvalidated);
    REQUIRE(graph == nullptr);
    REQUIRE(add(m.device, m.device, 1, m.a) == cudaSuccess);
  }
  REQUIRE(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(m.a, &graph) == cudaErrorIllegalState);
  REQUIRE(cudaStreamBeginCapture(m.a, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  REQUIRE(cudaMalloc(&memory, 16) == cudaSuccess);
  REQUIRE(cudaStreamEndCapture(m.a, &graph) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  REQUIRE(cudaFree(memory) == cudaSuccess);
  cudaGetLastError();
}
