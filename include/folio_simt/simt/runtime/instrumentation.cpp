// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions that code compiled with -fsanitize=thread calls before each load and store. Usually libtsan has them;
// here they lead to the shadow memory. Also memcpy, memmove and memset, which compilers call for larger copies: in this
// program they are these, for everybody, and check only while a kernel runs. This file is not instrumented itself.
#include <algorithm>
#include <cstring>
#include <string>

#include "block.hpp"
#include "memory.hpp"
#include "shadow.hpp"

namespace {

using simt::detail::Access;
using simt::detail::check_access;
using simt::detail::on_access;
using simt::detail::runner;

[[noreturn, gnu::noinline]] void fail_misaligned(std::uintptr_t address, std::size_t bytes, std::size_t alignment,
                                                 Access access) {
  simt::detail::fail(simt::Fault::misaligned, [&] {
    return std::string(verb(access)) + " " + std::to_string(bytes) + " bytes at " + simt::detail::describe(address) +
           ", an address that is not a multiple of " + std::to_string(alignment);
  });
}

void on_aligned_access(void const* memory, std::size_t bytes, Access access) {
  std::size_t const alignment = std::min<std::size_t>(bytes, 8);  // of 16 bytes g++ promises no more
  auto const address = reinterpret_cast<std::uintptr_t>(memory);
  if (runner.current != nullptr && address % alignment != 0) fail_misaligned(address, bytes, alignment, access);
  on_access(memory, bytes, access);
}

void on_atomic(void const volatile* address, std::size_t bytes, bool changes) {
  if (runner.current != nullptr) simt::detail::before_atomic(const_cast<void const*>(address), bytes, changes);
}

}  // namespace

// NOLINTBEGIN: the compilers' names
extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) { simt::detail::on_function(); }
void __tsan_func_exit() {}
void __tsan_vptr_update(void** address, void*) { on_access(address, sizeof(void*), Access::write); }
void __tsan_vptr_read(void** address) { on_access(address, sizeof(void*), Access::read); }
void __tsan_read_range(void* address, std::size_t bytes) { on_access(address, bytes, Access::read); }
void __tsan_write_range(void* address, std::size_t bytes) { on_access(address, bytes, Access::write); }

#define SIMT_ACCESS(n)                                                                       \
  void __tsan_read##n(void* address) { on_aligned_access(address, n, Access::read); }        \
  void __tsan_write##n(void* address) { on_aligned_access(address, n, Access::write); }      \
  void __tsan_unaligned_read##n(void* address) { on_access(address, n, Access::read); }      \
  void __tsan_unaligned_write##n(void* address) { on_access(address, n, Access::write); }    \
  void __tsan_volatile_read##n(void* address) { on_atomic(address, n, false); }              \
  void __tsan_volatile_write##n(void* address) { on_atomic(address, n, true); }              \
  void __tsan_unaligned_volatile_read##n(void* address) { on_atomic(address, n, false); }    \
  void __tsan_unaligned_volatile_write##n(void* address) { on_atomic(address, n, true); }    \
  void __tsan_read_write##n(void* address) { on_aligned_access(address, n, Access::write); } \
  void __tsan_unaligned_read_write##n(void* address) { on_access(address, n, Access::write); }
SIMT_ACCESS(1)
SIMT_ACCESS(2)
SIMT_ACCESS(4)
SIMT_ACCESS(8)
SIMT_ACCESS(16)
#undef SIMT_ACCESS

// Atomics of the host's kind (std::atomic), which the test around a kernel may use from several threads.
#define SIMT_RMW(bits, T, name, builtin)                              \
  T __tsan_atomic##bits##_##name(T volatile* address, T value, int) { \
    on_atomic(address, sizeof(T), true);                              \
    return builtin(address, value, __ATOMIC_SEQ_CST);                 \
  }
#define SIMT_CAS(bits, T, name)                                                                                      \
  int __tsan_atomic##bits##_compare_exchange_##name(T volatile* address, T* expected, T value, int, int) {           \
    on_atomic(address, sizeof(T), true);                                                                             \
    return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0; \
  }
#define SIMT_ATOMIC(bits, T)                                                                           \
  T __tsan_atomic##bits##_load(T const volatile* address, int) {                                       \
    on_atomic(address, sizeof(T), false);                                                              \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                                    \
  void __tsan_atomic##bits##_store(T volatile* address, T value, int) {                                \
    on_atomic(address, sizeof(T), true);                                                               \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                                \
  }                                                                                                    \
  SIMT_RMW(bits, T, exchange, __atomic_exchange_n)                                                     \
  SIMT_RMW(bits, T, fetch_add, __atomic_fetch_add)                                                     \
  SIMT_RMW(bits, T, fetch_sub, __atomic_fetch_sub)                                                     \
  SIMT_RMW(bits, T, fetch_and, __atomic_fetch_and)                                                     \
  SIMT_RMW(bits, T, fetch_or, __atomic_fetch_or)                                                       \
  SIMT_RMW(bits, T, fetch_xor, __atomic_fetch_xor)                                                     \
  SIMT_RMW(bits, T, fetch_nand, __atomic_fetch_nand)                                                   \
  SIMT_CAS(bits, T, strong)                                                                            \
  SIMT_CAS(bits, T, weak)                                                                              \
  T __tsan_atomic##bits##_compare_exchange_val(T volatile* address, T expected, T value, int, int) {   \
    on_atomic(address, sizeof(T), true);                                                               \
    __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    return expected;                                                                                   \
  }
SIMT_ATOMIC(8, unsigned char)
SIMT_ATOMIC(16, unsigned short)
SIMT_ATOMIC(32, unsigned)
SIMT_ATOMIC(64, unsigned long)
#undef SIMT_ATOMIC
#undef SIMT_CAS
#undef SIMT_RMW
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

#if defined(__GLIBC__)
// glibc's other names for the real ones.
void* __memcpy_chk(void*, void const*, std::size_t, std::size_t);
void* __memmove_chk(void*, void const*, std::size_t, std::size_t);
void* __memset_chk(void*, int, std::size_t, std::size_t);

void* memcpy(void* to, void const* from, std::size_t bytes) noexcept {
  check_access(from, bytes, Access::read);
  check_access(to, bytes, Access::write);
  return __memcpy_chk(to, from, bytes, static_cast<std::size_t>(-1));
}
void* memmove(void* to, void const* from, std::size_t bytes) noexcept {
  check_access(from, bytes, Access::read);
  check_access(to, bytes, Access::write);
  return __memmove_chk(to, from, bytes, static_cast<std::size_t>(-1));
}
void* memset(void* to, int value, std::size_t bytes) noexcept {
  check_access(to, bytes, Access::write);
  return __memset_chk(to, value, bytes, static_cast<std::size_t>(-1));
}
#endif

}  // extern "C"
// NOLINTEND
