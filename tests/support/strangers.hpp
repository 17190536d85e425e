// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Policies as somebody else would write them, unlike any of the library's: whatever takes a policy must take these.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <folio/allocator/host.hpp>
#include <folio/config.hpp>
#include <folio/layout/layout.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <memory>

namespace folio::test {

/// Rows whose 16-byte pieces change places from slot to slot, as kernels swizzle shared memory against bank conflicts.
struct SwizzledLayout {
  static constexpr char const* name = "swizzled";
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(Plane) { return 16; }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool whole_heads(Plane) { return true; }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(Plane plane, PlaneExtent extent,
                                                                            std::int32_t head, std::int32_t slot,
                                                                            std::int32_t byte) {
    std::int32_t const pieces = extent.row_bytes / 16;
    std::int32_t const swap = slot & ((pieces & -pieces) - 1);  // within the largest power of two that divides the row
    return param_offset(plane, extent, head, slot) + ((byte / 16) ^ swap) * 16 + byte % 16;
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(Plane, PlaneExtent extent,
                                                                             std::int32_t head, std::int32_t slot) {
    return (std::int64_t{head} * extent.slots + slot) * extent.row_bytes;
  }
};
static_assert(LayoutPolicy<SwizzledLayout>);

/// Pieces of 4 bytes of all rows side by side, in both planes; the parameters from the last row to the first.
struct ShreddedLayout {
  static constexpr char const* name = "shredded";
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(Plane) { return 4; }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool whole_heads(Plane) { return false; }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(Plane, PlaneExtent extent,
                                                                            std::int32_t head, std::int32_t slot,
                                                                            std::int32_t byte) {
    std::int64_t const rows = std::int64_t{extent.heads} * extent.slots, row = std::int64_t{slot} * extent.heads + head;
    return (byte / 4 * rows + row) * 4 + byte % 4;
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(Plane, PlaneExtent extent,
                                                                             std::int32_t head, std::int32_t slot) {
    std::int64_t const rows = std::int64_t{extent.heads} * extent.slots;
    return (rows - 1 - (std::int64_t{head} * extent.slots + slot)) * extent.row_bytes;
  }
};
static_assert(LayoutPolicy<ShreddedLayout>);

/// int8 with one scale for each 32 elements, not one for the row.
struct GroupedInt8 {
  static constexpr char const* name = "grouped_int8";
  static constexpr int bits = 8;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::decoded};
  static constexpr std::int32_t params_dim = 32;
  struct Params {
    float scale;
  };
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return (dim + 31) / 32 * 4;
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    for (std::int32_t begin = 0; begin < dim; begin += params_dim) {
      std::int32_t const end = std::min(dim, begin + params_dim);
      float largest = 0;
      for (std::int32_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(row[i]));
      float const scale = largest / 127.0F;
      std::memcpy(params + begin / params_dim * 4, &scale, 4);
      for (std::int32_t i = begin; i < end; ++i)
        codes[i] = static_cast<std::byte>(scale > 0 ? static_cast<std::int8_t>(std::lround(row[i] / scale)) : 0);
    }
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    return {load_param<float>(params + dim / params_dim * 4)};
  }
  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(codes[i])) * params.scale;
  }
};
static_assert(QuantizerPolicy<GroupedInt8>);

/// The upper 24 bits of a float: codes whose size is no power of two.
struct Float24 {
  static constexpr char const* name = "float24";
  static constexpr int bits = 24;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::decoded};
  struct Params {};
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }
  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte*) {
    for (std::int32_t i = 0; i < dim; ++i) std::memcpy(codes + 3 * i, reinterpret_cast<char const*>(row + i) + 1, 3);
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const*, std::int32_t) { return {}; }
  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, float* out) {
    for (int i = 0; i < N; ++i) {
      out[i] = 0;
      std::memcpy(reinterpret_cast<char*>(out + i) + 1, codes + 3 * i, 3);
    }
  }
};
static_assert(QuantizerPolicy<Float24>);

/// Host memory with a ledger, dirty as memory may be. Refuses its `fail_at`-th request (counted from 1; 0: never).
class LedgerAllocator {
 public:
  static constexpr char const* name = "ledger";
  static constexpr Accessibility accessibility = Accessibility::host;

  struct Ledger {
    int requests = 0, live = 0, fail_at = 0;
    std::int64_t live_bytes = 0;
  };

  explicit LedgerAllocator(std::shared_ptr<Ledger> ledger) : ledger_(std::move(ledger)) {}

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (++ledger_->requests == ledger_->fail_at) throw OutOfMemory(name, bytes, "the ledger says no");
    std::byte* const pointer = host_.allocate(bytes, alignment);
    std::memset(pointer, 0xFF, static_cast<std::size_t>(bytes));
    ++ledger_->live;
    ledger_->live_bytes += bytes;
    return pointer;
  }
  void deallocate(std::byte* pointer, std::int64_t bytes) noexcept {
    --ledger_->live;
    ledger_->live_bytes -= bytes;
    host_.deallocate(pointer, bytes);
  }

 private:
  std::shared_ptr<Ledger> ledger_;
  HostAllocator host_;
};
static_assert(AllocatorPolicy<LedgerAllocator>);

}  // namespace folio::test
