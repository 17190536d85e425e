// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
//   program [leak|peek]
//
// A whole CUDA program, for nvcc and for the stand-in: adds numbers on the device. With an argument, a mistake.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

template <class T>
__global__ void add(T const* a, T const* b, T* sum, int size) {
  int const i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < size) sum[i] = a[i] + b[i];
}

namespace {

void check(cudaError_t code) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", cudaGetErrorName(code), cudaGetErrorString(code));
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  std::string const mistake = argc > 1 ? argv[1] : "";
  constexpr int size = 100;
  std::vector<float> numbers(size), sums(size);
  for (std::size_t i = 0; i < size; ++i) numbers[i] = static_cast<float>(i);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  float* device = nullptr;
  check(cudaMalloc(&device, size * sizeof(float)));
  check(cudaMemcpyAsync(device, numbers.data(), size * sizeof(float), cudaMemcpyHostToDevice, stream));
  cudaLaunchConfig_t config{};
  config.gridDim = 4;
  config.blockDim = 32;
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, add<float>, device, device, device, size));
  if (mistake == "peek") std::printf("%f\n", static_cast<double>(device[1]));
  check(cudaMemcpyAsync(sums.data(), device, size * sizeof(float), cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  check(cudaStreamDestroy(stream));
  if (mistake != "leak") check(cudaFree(device));
  bool const right = sums[99] == 198.0F;
  std::puts(right ? "right" : "wrong");
  return right ? 0 : 1;
}
