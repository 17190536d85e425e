// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The driver's functions: how they are looked up, its device, and tensor maps.
#include <cuda.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "runtime.hpp"
#include "tensor_map.hpp"

namespace {

struct EntryPoint {
  std::string_view name;
  unsigned since;  // the CUDA version that has it
  void* function;
};

template <class Function>
EntryPoint entry(std::string_view name, unsigned since, Function* function) {
  return {name, since, reinterpret_cast<void*>(function)};
}

EntryPoint const entry_points[] = {
    entry("cuInit", 2000, cuInit),
    entry("cuGetErrorName", 6000, cuGetErrorName),
    entry("cuGetErrorString", 6000, cuGetErrorString),
    entry("cuDeviceGet", 2000, cuDeviceGet),
    entry("cuDeviceGetAttribute", 2000, cuDeviceGetAttribute),
    entry("cuMemGetAllocationGranularity", 10020, cuMemGetAllocationGranularity),
    entry("cuMemAddressReserve", 10020, cuMemAddressReserve),
    entry("cuMemAddressFree", 10020, cuMemAddressFree),
    entry("cuMemCreate", 10020, cuMemCreate),
    entry("cuMemRelease", 10020, cuMemRelease),
    entry("cuMemMap", 10020, cuMemMap),
    entry("cuMemUnmap", 10020, cuMemUnmap),
    entry("cuMemSetAccess", 10020, cuMemSetAccess),
    entry("cuTensorMapEncodeTiled", 12000, cuTensorMapEncodeTiled),
};

/// Of one element, or 0 of a type that is not here.
std::uint8_t element_bytes(CUtensorMapDataType type) {
  constexpr std::uint8_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return static_cast<std::size_t>(type) < std::size(bytes) ? bytes[type] : std::uint8_t{0};
}

template <class T>
bool in_range(T value, T lowest, T highest) {
  return value >= lowest && value <= highest;
}

}  // namespace

using namespace simt::cuda;

// NOLINTBEGIN: CUDA's names
extern "C" {

cudaError_t cudaGetDriverEntryPointByVersion(char const* symbol, void** function, unsigned version, unsigned long long,
                                             cudaDriverEntryPointQueryResult* status) {
  return call("cudaGetDriverEntryPointByVersion", [&] {
    if (symbol == nullptr || function == nullptr || version > CUDART_VERSION) return cudaErrorInvalidValue;
    auto const* const found =
        std::find_if(std::begin(entry_points), std::end(entry_points), [&](auto const& e) { return e.name == symbol; });
    bool const is_there = found != std::end(entry_points), is_new_enough = is_there && version >= found->since;
    *function = is_new_enough ? found->function : nullptr;
    if (status != nullptr)
      *status = is_new_enough ? cudaDriverEntryPointSuccess
                : is_there    ? cudaDriverEntryPointVersionNotSufficent
                              : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  });
}

CUresult cuInit(unsigned flags) { return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CUresult cuGetErrorName(CUresult error, char const** name) {
  switch (error) {
#define SIMT_DRIVER_ERROR(code, number) \
  case code:                            \
    return *name = #code, CUDA_SUCCESS;
    SIMT_DRIVER_ERRORS(SIMT_DRIVER_ERROR)
#undef SIMT_DRIVER_ERROR
  }
  return *name = nullptr, CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, char const** words) {
  char const* name = nullptr;
  *words = cuGetErrorName(error, &name) == CUDA_SUCCESS ? cudaGetErrorString(static_cast<cudaError_t>(error)) : nullptr;
  return *words == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return ordinal == 0 ? (*device = 0, CUDA_SUCCESS) : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  if (attribute == CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) return *value = 1, CUDA_SUCCESS;
  return static_cast<CUresult>(cudaDeviceGetAttribute(value, static_cast<cudaDeviceAttr>(attribute), device));
}

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                cuuint64_t const* extents, cuuint64_t const* strides, cuuint32_t const* box,
                                cuuint32_t const* element_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill) {
  constexpr cuuint64_t max_extent = cuuint64_t{1} << 32, max_stride = (cuuint64_t{1} << 40) - 1;
  std::lock_guard const lock(state().mutex);
  if (int const code = begin_call("cuTensorMapEncodeTiled", InCapture::fine)) return static_cast<CUresult>(code);
  std::uint8_t const unit = element_bytes(type);
  bool const is_float = type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  bool right = map != nullptr && reinterpret_cast<std::uintptr_t>(map) % 64 == 0 && unit != 0 &&
               in_range(rank, 1U, 5U) && address != nullptr && reinterpret_cast<std::uintptr_t>(address) % 16 == 0 &&
               extents != nullptr && (rank == 1 || strides != nullptr) && box != nullptr &&
               element_strides != nullptr && swizzle <= CU_TENSOR_MAP_SWIZZLE_128B &&
               promotion <= CU_TENSOR_MAP_L2_PROMOTION_L2_256B &&
               (fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE || is_float);
  if (!right) return CUDA_ERROR_INVALID_VALUE;
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
  simt::TensorMapContent content{
      .begin = static_cast<std::byte const*>(address),
      .rank = static_cast<std::uint8_t>(rank),
      .element_bytes = unit,
      .fill = static_cast<std::uint8_t>(fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE ? 0 : 0xff),
      .swizzle = static_cast<std::uint8_t>(swizzle)};
  for (cuuint32_t dim = 0; dim < rank; ++dim) {
    cuuint64_t const stride = dim == 0 ? unit : strides[dim - 1];
    right = right && in_range(extents[dim], cuuint64_t{1}, max_extent) && in_range(box[dim], 1U, 256U) &&
            in_range(element_strides[dim], 1U, 8U) && (dim == 0 || (stride % 16 == 0 && stride <= max_stride));
    content.extents[dim] = extents[dim];
    content.strides[dim] = stride;
    content.box[dim] = static_cast<std::uint16_t>(box[dim]);
    content.steps[dim] = static_cast<std::uint16_t>(dim == 0 ? 1 : element_strides[dim]);
  }
  std::size_t const inner_bytes = box[0] * std::size_t{unit}, span = std::size_t{16} << swizzle;
  if (!right || inner_bytes % 16 != 0 || (swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && inner_bytes > span))
    return CUDA_ERROR_INVALID_VALUE;
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &content, sizeof content);
  return CUDA_SUCCESS;
}

}  // extern "C"
// NOLINTEND
