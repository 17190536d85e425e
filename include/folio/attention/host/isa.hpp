// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which instructions may the host's kernels use? Asked of the machine once, at run time. Host only.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>

// The kernels for wide registers need the attributes of GCC or Clang on x86-64. A CUDA source gets the portable ones.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
#define FOLIO_SIMD_X86 1
#else
#define FOLIO_SIMD_X86 0
#endif
#if FOLIO_SIMD_X86 && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace folio::attention {

/// A set of instructions that the kernels are compiled for. Each one has those before it.
enum class Isa : std::uint8_t {
  portable,  ///< vectors of 16 bytes by plain C++: SSE2 on x86-64, NEON on AArch64
  avx2,      ///< AVX2, FMA and F16C: vectors of 32 bytes
  avx512,    ///< AVX-512 F, BW, DQ, VL and VNNI: vectors of 64 bytes, dot products of bytes
  amx,       ///< AMX-INT8 on Linux: tiles of bytes multiplied at once
};

[[nodiscard]] constexpr char const* name_of(Isa isa) {
  constexpr char const* names[] = {"portable", "avx2", "avx512", "amx"};
  return names[static_cast<int>(isa)];
}

#if FOLIO_SIMD_X86
namespace detail {

/// Whether the processor has AMX's tiles of bytes and Linux lets this process use them, for which it has to be asked.
[[nodiscard]] inline bool may_use_amx() {
#if defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned tiles = 1U << 24, bytes = 1U << 25;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & tiles) == 0 || (d & bytes) == 0) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

}  // namespace detail
#endif

/// The best set that this machine and its operating system have.
[[nodiscard]] inline Isa machine_isa() {
#if FOLIO_SIMD_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    return detail::may_use_amx() ? Isa::amx : Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return Isa::avx2;  // F16C came before both, and not every compiler can ask for it
#endif
  return Isa::portable;
}

namespace detail {

/// The machine's set, or a lesser one that the environment names.
[[nodiscard]] inline Isa first_isa() {
  char const* const wish = std::getenv("FOLIO_ISA");
  Isa const best = machine_isa();
  for (Isa const isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (wish != nullptr && isa < best && std::string_view(wish) == name_of(isa)) return isa;
  return best;
}

inline std::atomic<Isa>& isa_in_use() {
  static std::atomic<Isa> isa{first_isa()};
  return isa;
}

}  // namespace detail

/// What the kernels use: the machine's best set, or a lesser one where the environment variable FOLIO_ISA says
/// "portable", "avx2" or "avx512", or `use_isa` did. One load.
[[nodiscard]] inline Isa isa_in_use() { return detail::isa_in_use().load(std::memory_order_relaxed); }

/// From the next operation on uses `isa`, or the machine's best set where that is less. For tests and measurements;
/// operations that run at the same time finish with what they began with.
inline void use_isa(Isa isa) {
  detail::isa_in_use().store(isa < machine_isa() ? isa : machine_isa(), std::memory_order_relaxed);
}

}  // namespace folio::attention
