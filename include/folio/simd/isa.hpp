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

namespace folio::simd {

/// A set of instructions that the kernels are compiled for. Each one has those before it.
enum class Isa : std::uint8_t {
  portable,  ///< vectors of 16 bytes by plain C++: SSE2 on x86-64, NEON on AArch64
  avx2,      ///< AVX2, FMA and F16C: vectors of 32 bytes
  avx512,    ///< AVX-512 F, BW, DQ, VL and VNNI: vectors of 64 bytes, dot products of bytes
};

[[nodiscard]] constexpr char const* name_of(Isa isa) {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "portable";
}

/// The best set that this machine and its operating system have.
[[nodiscard]] inline Isa machine_isa() {
#if FOLIO_SIMD_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return Isa::avx2;  // F16C came before both, and not every compiler can ask for it
#endif
  return Isa::portable;
}

namespace detail {

/// The machine's set, or a lesser one that the environment names.
[[nodiscard]] inline Isa first_isa() {
  Isa const best = machine_isa();
  char const* const wish = std::getenv("FOLIO_ISA");
  for (Isa const isa : {Isa::portable, Isa::avx2})
    if (wish != nullptr && isa < best && std::string_view(wish) == name_of(isa)) return isa;
  return best;
}

inline std::atomic<Isa>& isa_in_use() {
  static std::atomic<Isa> isa{first_isa()};
  return isa;
}

}  // namespace detail

/// What the kernels use: the machine's best set, or a lesser one where the environment variable FOLIO_ISA says
/// "portable" or "avx2", or `use_isa` did. One load.
[[nodiscard]] inline Isa isa_in_use() { return detail::isa_in_use().load(std::memory_order_relaxed); }

/// From the next operation on uses `isa`, or the machine's best set where that is less. For tests and measurements;
/// operations that run at the same time finish with what they began with.
inline void use_isa(Isa isa) {
  detail::isa_in_use().store(isa < machine_isa() ? isa : machine_isa(), std::memory_order_relaxed);
}

}  // namespace folio::simd
