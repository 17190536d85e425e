// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The host runner's names on a real GPU: tests that were written for simt::Buffer and simt::launch are compiled by nvcc
// as they are, with this folder before tests/ on the include path. Buffers are managed memory, and a launch is waited
// for. What the runner finds in kernels, compute-sanitizer finds here: run the tests under it.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio_simt/simt/buffer.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace simt {

enum class Fault { launch, out_of_bounds, misaligned, uninitialized, race, divergence, shuffle, kernel };

/// Thrown where CUDA refuses a launch or a kernel failed.
class Error : public std::runtime_error {
 public:
  Error(Fault fault, std::string const& what) : std::runtime_error(what), fault_(fault) {}
  [[nodiscard]] Fault fault() const noexcept { return fault_; }

 private:
  Fault fault_;
};

/// The last four are the runner's own, and nothing here.
struct Launch {
  dim3 grid = 1;
  dim3 block = 1;
  std::size_t shared_bytes = 0;
  char const* name = "a kernel";
  std::uint64_t seed = 0;
  std::size_t stack_bytes = 0;
  bool allow_early_exit = false;
};

namespace detail {

inline void check(cudaError_t code, std::string const& what) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw Error(Fault::launch, what + ": " + cudaGetErrorString(code));
}

}  // namespace detail

/// Runs `kernel(arguments...)` and waits for it.
template <class... Parameters>
void launch(Launch const& how, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = how.grid;
  config.blockDim = how.block;
  config.dynamicSmemBytes = how.shared_bytes;
  detail::check(cudaDeviceSynchronize(), std::string("before kernel '") + how.name + "'");
  detail::check(cudaLaunchKernelEx(&config, kernel, arguments...), std::string("kernel '") + how.name + "'");
  detail::check(cudaDeviceSynchronize(), std::string("kernel '") + how.name + "'");
}

inline bool checks_memory() noexcept { return false; }
inline std::uint64_t num_checked_accesses() noexcept { return 0; }

/// Filled with bytes 0xff, as in the runner.
inline std::byte* allocate(std::size_t bytes, std::string name, std::size_t) {
  void* memory = nullptr;
  detail::check(cudaMallocManaged(&memory, bytes > 0 ? bytes : 1, cudaMemAttachGlobal), name);
  std::memset(memory, 0xff, bytes);
  return static_cast<std::byte*>(memory);
}
inline void deallocate(std::byte* memory) noexcept { cudaFree(memory); }

inline void forbid(void const*, std::size_t) {}
inline void allow(void const*, std::size_t) {}

}  // namespace simt
