// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Streams and events. What is queued runs when the host waits or asks, or, with a seed, when chance has it: one
// operation at a time, of any stream whose head is ready.
#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

#include "runtime.hpp"

namespace simt::cuda {
namespace {

constexpr std::uint64_t odds_to_stay = 4, odds_to_run = 4, most_at_once = 8;

bool is_blocking(CUstream_st const& stream) { return (stream.flags & cudaStreamNonBlocking) == 0; }

/// The legacy stream and the blocking ones run what they have in the order of issue.
bool is_ready(CUstream_st const& stream) {
  if (stream.queue.empty()) return false;
  Operation const& head = stream.queue.front();
  if (head.ready && !head.ready()) return false;
  if (!is_blocking(stream)) return true;
  auto const& streams = state().streams;
  auto const comes_first = [&](auto const& other) {
    return is_blocking(*other) && !other->queue.empty() && other->queue.front().issue < head.issue;
  };
  return &stream == streams[0].get() ? std::none_of(streams.begin(), streams.end(), comes_first)
                                     : !comes_first(streams[0]);
}

CUstream_st* choose() {
  State& s = state();
  std::vector<CUstream_st*> ready;
  for (auto const& stream : s.streams)
    if (is_ready(*stream)) ready.push_back(stream.get());
  if (ready.empty()) return nullptr;
  if (s.seed == 0)
    return *std::min_element(ready.begin(), ready.end(),
                             [](auto* a, auto* b) { return a->queue.front().issue < b->queue.front().issue; });
  bool const stays = std::find(ready.begin(), ready.end(), s.last_stream) != ready.end() && draw(odds_to_stay) != 0;
  return s.last_stream = stays ? s.last_stream : ready[draw(ready.size())];
}

/// Runs one operation; false when none can run.
bool step() {
  State& s = state();
  CUstream_st* const stream = choose();
  if (stream == nullptr) return false;
  Operation const operation = std::move(stream->queue.front());
  stream->queue.pop_front();
  ++s.num_run;
  // After a failure a GPU does nothing more for the program. Here what is queued is dropped, and it goes on.
  if (s.failure == nullptr || operation.bookkeeping) try {
      operation.run();
    } catch (...) {
      s.failure = std::current_exception();
    }
  std::erase_if(s.streams, [](auto const& each) { return !each->live && each->queue.empty(); });
  return true;
}

void throw_failure() {
  std::exception_ptr const failure = state().failure;
  if (failure == nullptr) return;
  drop_queued();
  std::rethrow_exception(failure);
}

bool all_idle() {
  auto const& streams = state().streams;
  return std::all_of(streams.begin(), streams.end(), [](auto const& each) { return each->queue.empty(); });
}

/// "append_kernel" of a kernel's address, where the program's symbols can be read.
std::string kernel_name(void const* kernel) {
  Dl_info info{};
  if (dladdr(kernel, &info) == 0 || info.dli_sname == nullptr) return "a kernel";
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const demangled(abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status),
                                                         std::free);
  std::string name = status == 0 ? demangled.get() : info.dli_sname;
  name.resize(std::min(name.find_first_of("<(", 0), name.size()));
  return name.substr(name.find_last_of(" :") + 1);
}

cudaError_t new_stream(cudaStream_t* handle, unsigned flags) {
  if (handle == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
  state().streams.push_back(std::make_shared<CUstream_st>(CUstream_st{.flags = flags, .id = ++state().num_streams}));
  *handle = state().streams.back().get();
  return cudaSuccess;
}

CUevent_st* find_event(cudaEvent_t handle) {
  auto const found = state().events.find(handle);
  return found == state().events.end() ? nullptr : found->second.get();
}

}  // namespace

State& state() {
  static State& s = *[] {
    auto* const fresh = new State;  // never deleted: static objects of the program may free what they hold
    fresh->streams.push_back(std::make_shared<CUstream_st>());
    fresh->streams.push_back(std::make_shared<CUstream_st>());
    if (char const* const seed = std::getenv("SIMT_SEED")) fresh->seed = std::strtoull(seed, nullptr, 10);
    fresh->random = fresh->seed;
    return fresh;
  }();
  return s;
}

std::uint64_t draw(std::uint64_t n) {
  State& s = state();
  if (s.seed == 0) return 0;
  std::uint64_t x = s.random += 0x9e3779b97f4a7c15;  // splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return (x ^ (x >> 31)) % n;
}

CUstream_st* find_stream(cudaStream_t handle) {
  auto const& streams = state().streams;
  if (handle == nullptr || handle == cudaStreamLegacy) return streams[0].get();
  if (handle == cudaStreamPerThread) return streams[1].get();
  for (auto const& stream : streams)
    if (stream.get() == handle && stream->live) return handle;
  return nullptr;
}

void issue(CUstream_st& stream, Operation operation) {
  State& s = state();
  operation.issue = ++s.num_issued;
  ++s.issued[operation.kind];
  stream.queue.push_back(std::move(operation));
  if (s.seed == 0 || draw(odds_to_run) != 0) return;
  for (std::uint64_t left = draw(most_at_once) + 1; left > 0 && step(); --left) {
  }
}

cudaError_t enqueue(cudaStream_t handle, Operation operation) {
  CUstream_st* const stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (Capture* const capture = stream->capture.get()) {
    if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
    capture->nodes.push_back({std::move(operation), stream->tails});
    stream->tails = {capture->nodes.size() - 1};
    return cudaSuccess;
  }
  if (stream == state().streams[0].get())
    for (auto const& other : state().streams)
      if (other->capture != nullptr && is_blocking(*other)) {
        invalidate(*other->capture);
        return cudaErrorStreamCaptureImplicit;
      }
  issue(*stream, std::move(operation));
  return cudaSuccess;
}

void wait(std::function<bool()> const& done) {
  State& s = state();
  ++s.host_waits;
  while (s.failure == nullptr && (s.seed == 0 || !done()) && step()) {
  }
  throw_failure();
  if (!done()) throw Error(Fault::launch, "cuda: the host waits for what nothing that is queued can bring");
}

void wait_for_stream(CUstream_st const& stream) {
  wait([&] { return stream.queue.empty(); });
}

void wait_for_device() { wait(all_idle); }

void drop_queued() {
  state().failure = std::make_exception_ptr(0);
  while (step()) {
  }
  state().failure = nullptr;
}

void look() {
  step();
  throw_failure();
}

}  // namespace simt::cuda

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", [&] { return new_stream(stream, cudaStreamDefault); });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] { return new_stream(stream, flags); });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return call("cudaStreamCreateWithPriority", [&] { return new_stream(stream, flags); });
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call("cudaDeviceGetStreamPriorityRange", [&] {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return cudaSuccess;
  });
}

/// No two streams have the same, also where one has the other's handle.
cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long* id) {
  return call("cudaStreamGetId", [&] {
    CUstream_st const* const stream = find_stream(handle);
    if (stream == nullptr || id == nullptr) return cudaErrorInvalidResourceHandle;
    return *id = stream->id, cudaSuccess;
  });
}

/// Returns at once; what is queued still runs.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call("cudaStreamDestroy", [&] {
    CUstream_st* const stream = find_stream(handle);
    auto& streams = state().streams;
    if (stream == nullptr || stream == streams[0].get() || stream == streams[1].get())
      return cudaErrorInvalidResourceHandle;
    if (auto const capture = stream->capture) end(*capture);
    stream->live = false;
    std::erase_if(streams, [](auto const& each) { return !each->live && each->queue.empty(); });
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", InCapture::unsafe, [&] {
    CUstream_st const* const stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    wait_for_stream(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", InCapture::unsafe, [&] {
    CUstream_st const* const stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    look();
    return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", InCapture::unsafe, [] {
    wait_for_device();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  return call("cudaStreamWaitEvent", [&] {
    CUstream_st* const stream = find_stream(handle);
    CUevent_st const* const event = find_event(event_handle);
    if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) {
      if (event->capture->ended) return cudaErrorCapturedEvent;
      if (stream->capture != nullptr && stream->capture != event->capture) return cudaErrorStreamCaptureMerge;
      stream->capture = event->capture;
      stream->tails.insert(stream->tails.end(), event->tails.begin(), event->tails.end());
      return cudaSuccess;
    }
    if (event->point == nullptr) return cudaSuccess;
    if (stream->capture != nullptr) {
      invalidate(*stream->capture);
      return cudaErrorStreamCaptureIsolation;
    }
    return enqueue(handle,
                   {.run = [] {}, .bookkeeping = true, .ready = [point = event->point] { return point->done; }});
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return call("cudaLaunchHostFunc", [&] {
    if (function == nullptr) return cudaErrorInvalidValue;
    return enqueue(stream, {.run = [=] {
                     state().in_host_function = true;
                     std::unique_ptr<bool, void (*)(bool*)> const reset(&state().in_host_function,
                                                                        [](bool* inside) { *inside = false; });
                     function(argument);
                   }});
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&] {
    if (handle == nullptr || flags > (cudaEventBlockingSync | cudaEventDisableTiming)) return cudaErrorInvalidValue;
    auto event = std::make_unique<CUevent_st>(CUevent_st{.flags = flags});
    *handle = event.get();
    state().events.emplace(event.get(), std::move(event));
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy",
              [&] { return state().events.erase(event) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle; });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
  return call("cudaEventRecord", [&] {
    CUevent_st* const event = find_event(event_handle);
    CUstream_st const* const stream = find_stream(handle);
    if (event == nullptr || stream == nullptr) return cudaErrorInvalidResourceHandle;
    event->capture = stream->capture;
    event->tails = stream->tails;
    if (stream->capture != nullptr) return cudaSuccess;
    auto const point = std::make_shared<Point>();
    event->point = point;
    return enqueue(handle, {.run = [point] { *point = {true, state().num_run}; }, .bookkeeping = true});
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call("cudaEventQuery", InCapture::unsafe, [&] {
    CUevent_st const* const event = find_event(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return cudaErrorCapturedEvent;
    look();
    return event->point == nullptr || event->point->done ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call("cudaEventSynchronize", InCapture::unsafe, [&] {
    CUevent_st const* const event = find_event(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return cudaErrorCapturedEvent;
    wait([point = event->point] { return point == nullptr || point->done; });
    return cudaSuccess;
  });
}

/// A microsecond for each operation: no clock, so that programs repeat themselves.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&] {
    CUevent_st const *const from = find_event(start), *const to = find_event(end);
    auto const has_time = [](CUevent_st const* event) {
      return event != nullptr && event->point != nullptr && (event->flags & cudaEventDisableTiming) == 0;
    };
    if (!has_time(from) || !has_time(to)) return cudaErrorInvalidResourceHandle;
    if (!from->point->done || !to->point->done) return cudaErrorNotReady;
    *milliseconds = (static_cast<float>(to->point->when) - static_cast<float>(from->point->when)) * 1e-3F;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(void const* kernel, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&] {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<std::size_t>(value) > max_shared_bytes) return cudaErrorInvalidValue;
    state().shared_limits[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

}  // extern "C"
// NOLINTEND

cudaError_t simt::detail::enqueue_launch(cudaLaunchConfig_t const& config, void const* kernel,
                                         std::function<void(Launch const&)> run) {
  return call("cudaLaunchKernelEx", [&] {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    dim3 const grid = config.gridDim, block = config.blockDim;
    auto const within = [](dim3 const& extent, unsigned x, unsigned y, unsigned z) {
      return extent.x - 1 < x && extent.y - 1 < y && extent.z - 1 < z;  // 0 wraps around to more than all
    };
    if (!within(grid, 0x7fffffff, 65535, 65535) || !within(block, 1024, 1024, 64) || block.x * block.y * block.z > 1024)
      return cudaErrorInvalidConfiguration;
    auto const limit = state().shared_limits.find(kernel);
    if (config.dynamicSmemBytes > (limit == state().shared_limits.end() ? default_shared_bytes : limit->second))
      return cudaErrorInvalidValue;
    for (unsigned i = 0; i < config.numAttrs; ++i) {
      auto const& [id, pad, value] = config.attrs[i];
      if (id == cudaLaunchAttributeCooperative && value.cooperative != 0) return cudaErrorNotSupported;
      if (id == cudaLaunchAttributeClusterDimension && value.clusterDim.x * value.clusterDim.y * value.clusterDim.z > 1)
        return cudaErrorInvalidClusterSize;
    }
    CUstream_st const* const stream = find_stream(config.stream);
    if (state().loaded.insert(kernel).second && stream != nullptr && stream->capture != nullptr)
      ++state().first_launches_in_captures;
    auto const launch = [run = std::move(run), kernel, grid, block, shared_bytes = config.dynamicSmemBytes] {
      std::string const name = kernel_name(kernel);
      run({.grid = grid, .block = block, .shared_bytes = shared_bytes, .name = name.c_str(), .seed = draw(~0ULL)});
    };
    return enqueue(config.stream, {.run = launch, .kind = Kind::launch});
  });
}
