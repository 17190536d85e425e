// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the files of the stand-in share: what is queued, what is allocated, what is captured.

#include <cuda_runtime.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../runtime/memory.hpp"
#include "simt/streams.hpp"

namespace simt::cuda {

enum class Kind : std::uint8_t { other, launch, copy_to_device, copy_to_host };

/// One thing in a stream's queue. It runs when it is at the head and, of a wait, when what it waits for has come.
struct Operation {
  std::function<void()> run;
  Kind kind = Kind::other;
  bool bookkeeping = false;          // runs even after a kernel failed: events, memory
  std::function<bool()> ready = {};  // none: always
  std::uint64_t issue = 0;           // counts operations in the order in which the host gave them
};

/// An operation in a graph, and the nodes that come before it.
struct Node {
  Operation operation;
  std::vector<std::size_t> after;
};

/// A capture that goes on. Streams join it by waiting for events of it.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool valid = true;
  bool ended = false;
  std::vector<Node> nodes;
};

/// A point in a stream that an event was recorded at.
struct Point {
  bool done = false;
  std::uint64_t when = 0;
};

struct Pool {
  std::size_t used = 0, used_high = 0, reserved = 0, reserved_high = 0, threshold = 0, limit = 0;
};

struct Allocation {
  std::size_t bytes = 0;
  cudaMemoryType type = cudaMemoryTypeDevice;
  char const* call = "";                 // which made it
  std::shared_ptr<Pool> pool = nullptr;  // of stream-ordered memory
  bool live = true;                      // a kernel may touch it now
  bool given_back = false;               // the host may not name it any more
  bool mapped = false;                   // part of a virtual range: neighbours may be used as one
};

}  // namespace simt::cuda

struct CUstream_st {
  unsigned flags = 0;
  bool live = true;
  std::deque<simt::cuda::Operation> queue = {};
  std::shared_ptr<simt::cuda::Capture> capture = nullptr;
  std::vector<std::size_t> tails = {};  // the nodes of the capture that its next one comes after
  unsigned long long id = 0;
};
struct CUevent_st {
  unsigned flags = 0;
  std::shared_ptr<simt::cuda::Point> point = nullptr;  // none: never recorded
  std::shared_ptr<simt::cuda::Capture> capture = nullptr;
  std::vector<std::size_t> tails = {};
};
struct CUgraph_st {
  std::vector<simt::cuda::Node> nodes;
};
struct CUgraphExec_st {
  std::vector<simt::cuda::Node> nodes;
};
struct CUmemPoolHandle_st {
  std::shared_ptr<simt::cuda::Pool> pool;
};

namespace simt::cuda {

inline constexpr std::size_t device_bytes = std::size_t{1} << 30;
inline constexpr std::size_t default_shared_bytes = 48 * 1024, max_shared_bytes = 227 * 1024;

struct State {
  std::recursive_mutex mutex;
  std::uint64_t seed = 0, random = 0;
  std::uint64_t num_issued = 0, num_run = 0, num_streams = 0;
  std::int64_t host_waits = 0, pageable_copies = 0, first_launches_in_captures = 0;
  std::set<void const*> loaded;  // kernels that were launched
  std::map<Kind, std::int64_t> issued;
  std::exception_ptr failure;  // what a kernel threw, until a wait throws it
  bool in_host_function = false;
  std::deque<std::shared_ptr<CUstream_st>> streams;  // [0] the legacy stream, [1] the one per thread
  CUstream_st* last_stream = nullptr;
  std::map<cudaEvent_t, std::unique_ptr<CUevent_st>> events;
  std::map<cudaGraph_t, std::unique_ptr<CUgraph_st>> graphs;
  std::map<cudaGraphExec_t, std::unique_ptr<CUgraphExec_st>> execs;
  std::map<cudaMemPool_t, std::unique_ptr<CUmemPoolHandle_st>> pools;
  std::map<std::uintptr_t, Allocation> memory;  // what is gone stays until its addresses are used again
  std::size_t device_used = 0;
  std::map<void const*, std::size_t> shared_limits;  // of kernels, by cudaFuncSetAttribute
  struct Planted {
    std::string call;
    int code = 0;
    std::int64_t calls_before = 0;
  };
  std::optional<Planted> planted;
};
State& state();

/// A number below `n`, drawn with the seed; 0 without one.
std::uint64_t draw(std::uint64_t n);

/// Every call of the runtime goes through here: one at a time, failures that a test planted, what may not be called
/// from a host function, or, if it is `unsafe`, while a capture goes on, and the last error.
enum class InCapture : std::uint8_t { fine, unsafe };
int begin_call(char const* name, InCapture rule);
cudaError_t end_call(cudaError_t code);
template <class Body>
cudaError_t call(char const* name, InCapture rule, Body const& body) {
  std::lock_guard const lock(state().mutex);
  auto const code = static_cast<cudaError_t>(begin_call(name, rule));
  return end_call(code == cudaSuccess ? body() : code);
}
template <class Body>
cudaError_t call(char const* name, Body const& body) {
  return call(name, InCapture::fine, body);
}

/// The stream of a handle, or nullptr when there is none.
CUstream_st* find_stream(cudaStream_t handle);
/// Puts an operation into a stream's queue, or into the graph that the stream captures.
cudaError_t enqueue(cudaStream_t handle, Operation operation);
void issue(CUstream_st& stream, Operation operation);
/// Runs operations until `done`, and throws what went wrong in them. A wait of the host.
void wait(std::function<bool()> const& done);
void wait_for_stream(CUstream_st const& stream);
void wait_for_device();
/// Runs a few operations, as time passes, and throws what went wrong.
void look();
/// Ends what is queued without doing its work: memory is freed, events come.
void drop_queued();
void invalidate(Capture& capture);
/// No stream captures for it any more.
void end(Capture& capture);
/// The capture that forbids calls such as cudaMalloc on this thread, if any.
Capture* capture_in_the_way();

void add_memory(std::uintptr_t address, Allocation allocation);
/// An allocation that holds an address, also one that is gone; nullptr: memory that is not CUDA's.
Allocation* find_memory(void const* pointer);
/// The kind of memory of a range, or nothing when it is gone, or ends before the range does.
std::optional<cudaMemoryType> memory_type(void const* pointer, std::size_t bytes);
/// Throws when an operation that runs now may not touch a range. `verb`: "cudaMemcpyAsync reads".
void check_range(char const* verb, void const* pointer, std::size_t bytes);
bool take_device_bytes(std::size_t bytes);

/// While it lives, this thread is the device's copy engine.
class DeviceAccess {
 public:
  DeviceAccess() { detail::host_touches_device_memory = true; }
  DeviceAccess(DeviceAccess const&) = delete;
  DeviceAccess& operator=(DeviceAccess const&) = delete;
  ~DeviceAccess() { detail::host_touches_device_memory = false; }
};

/// "3 streams that were never destroyed", for leaks().
template <class Map>
void tell_leaks(Map const& map, char const* what, std::vector<std::string>& leaks) {
  if (!map.empty()) leaks.push_back(std::to_string(map.size()) + " " + what);
}
void tell_virtual_leaks(std::vector<std::string>& leaks);

}  // namespace simt::cuda
