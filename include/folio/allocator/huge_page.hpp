// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/allocator/allocator.hpp>
#include <folio/error.hpp>
#include <new>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace folio {

/// Huge pages: memory in 2 MiB pages, so that walking a large cache misses the TLB less often.
///
/// Host only. Asks for reserved huge pages (MAP_HUGETLB), and where there are none for ordinary pages that the kernel
/// may join (MADV_HUGEPAGE); `backing()` says which it got. One instance serves one cache and is not thread-safe.
/// Throws OutOfMemory. Outside Linux it has no huge pages to ask for and says so.
class HugePageAllocator {
 public:
  static constexpr char const* name = "huge_page";
  static constexpr Accessibility accessibility = Accessibility::host;
  static constexpr std::int64_t page_bytes = std::int64_t{2} << 20;

  /// What the last allocation got.
  enum class Backing { none, huge, transparent, ordinary };

  [[nodiscard]] Backing backing() const noexcept { return backing_; }
  [[nodiscard]] std::string describe() const {
    switch (backing_) {
      case Backing::huge:
        return "reserved huge pages";
      case Backing::transparent:
        return "ordinary pages that the kernel may join (no reserved huge pages were free)";
      case Backing::ordinary:
        return "ordinary pages (this system offers no huge pages)";
      case Backing::none:
        break;
    }
    return "nothing allocated yet";
  }

#if defined(__linux__)
  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (bytes <= 0 || bytes > max_bytes || alignment > page_bytes)
      throw OutOfMemory(name, bytes, "asked for no bytes, more than an address space, or an alignment over 2 MiB");
    if (void* const pages = map(rounded(bytes), MAP_HUGETLB)) {
      backing_ = Backing::huge;
      return static_cast<std::byte*>(pages);
    }
    std::byte* const pointer = map_aligned(rounded(bytes));
    if (pointer == nullptr) throw OutOfMemory(name, bytes, "the machine has not that much free memory");
    bool const joined = ::madvise(pointer, static_cast<std::size_t>(rounded(bytes)), MADV_HUGEPAGE) == 0;
    backing_ = joined ? Backing::transparent : Backing::ordinary;
    return pointer;
  }

  void deallocate(std::byte* pointer, std::int64_t bytes) noexcept {
    if (pointer != nullptr) ::munmap(pointer, static_cast<std::size_t>(rounded(bytes)));
  }

 private:
  static constexpr std::int64_t max_bytes = std::int64_t{1} << 62;

  static std::int64_t rounded(std::int64_t bytes) { return (bytes + page_bytes - 1) / page_bytes * page_bytes; }

  static void* map(std::int64_t bytes, int flags) {
    void* const p = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
  }

  /// Ordinary pages that begin at a multiple of 2 MiB: only such can be joined. Maps more and gives both ends back.
  static std::byte* map_aligned(std::int64_t bytes) {
    auto* const begin = static_cast<std::byte*>(map(bytes + page_bytes, 0));
    if (begin == nullptr) return nullptr;
    auto const past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(begin) % page_bytes);
    std::int64_t const skip = past == 0 ? 0 : page_bytes - past;
    if (skip > 0) ::munmap(begin, static_cast<std::size_t>(skip));
    ::munmap(begin + skip + bytes, static_cast<std::size_t>(page_bytes - skip));
    return begin + skip;
  }
#else
  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    backing_ = Backing::ordinary;
    void* const p = bytes > 0
                        ? ::operator new(static_cast<std::size_t>(bytes), std::align_val_t(alignment), std::nothrow)
                        : nullptr;
    if (p == nullptr) throw OutOfMemory(name, bytes, "the machine has not that much free memory");
    alignment_ = alignment;
    return static_cast<std::byte*>(p);
  }
  void deallocate(std::byte* pointer, std::int64_t) noexcept {
    ::operator delete(pointer, std::align_val_t(alignment_));
  }

 private:
  std::int64_t alignment_ = 0;
#endif
  Backing backing_ = Backing::none;
};
static_assert(AllocatorPolicy<HugePageAllocator>);

}  // namespace folio
