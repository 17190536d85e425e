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
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

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
inline std::byte* allocate(std::size_t bytes, std::string const& name, std::size_t = 1) {
  void* memory = nullptr;
  detail::check(cudaMallocManaged(&memory, bytes > 0 ? bytes : 1, cudaMemAttachGlobal), name);
  std::memset(memory, 0xff, bytes);
  return static_cast<std::byte*>(memory);
}
inline void deallocate(std::byte* memory) noexcept { cudaFree(memory); }

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>, "simt::Buffer: memory of a GPU holds trivially copyable types");

 public:
  explicit Buffer(std::size_t size, std::string const& name = "a buffer")
      : data_(reinterpret_cast<T*>(allocate(size * sizeof(T), name))), size_(size) {}
  explicit Buffer(std::span<T const> values, std::string const& name = "a buffer") : Buffer(values.size(), name) {
    std::uninitialized_copy(values.begin(), values.end(), data_);
  }
  explicit Buffer(std::vector<T> const& values, std::string const& name = "a buffer")
      : Buffer(std::span<T const>(values), name) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { deallocate(reinterpret_cast<std::byte*>(data_)); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::vector<T> to_vector() const { return {data_, data_ + size_}; }
  T& operator[](std::size_t index) const noexcept { return data_[index]; }

 private:
  T* data_;
  std::size_t size_;
};

inline void forbid(void const*, std::size_t) {}
inline void allow(void const*, std::size_t) {}

}  // namespace simt
