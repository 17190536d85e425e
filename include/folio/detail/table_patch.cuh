// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a step changes in the tables on the device: a list in pinned memory, and the kernel that makes the changes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/kernels/launch.cuh>

namespace folio {

/// Words [to, to + size) of the tables become those from `from` on of the patch.
struct TableRun {
  std::uint32_t to, from, size;
};

/// Kernel. Writes `num_runs` runs of a patch into tables: a thread block takes a run at a time. The patch is memory of
/// the host that the device reads over the bus: its words begin at `patch`, and its runs end at `runs_end`, the first
/// one last. Any grid and block of one dimension. Traffic: each word of the patch once.
template <class Word = std::int32_t>  // a template, because a kernel in a header must be one
__global__ void patch_tables_kernel(Word* tables, Word const* patch, TableRun const* runs_end, std::int32_t num_runs) {
  for (auto r = static_cast<std::int32_t>(blockIdx.x); r < num_runs; r += static_cast<std::int32_t>(gridDim.x)) {
    TableRun const run = runs_end[-1 - r];
    for (std::uint32_t i = threadIdx.x; i < run.size; i += blockDim.x) tables[run.to + i] = patch[run.from + i];
  }
}

/// Table patch: the changes of a step, for TableBuffer to tell: words from the beginning of some memory on, runs from
/// its end on.
///
/// Runs with at most 3 words between them are one: a run costs as much as 3 words. So all words of a table and the runs
/// that they are in have room in bytes_for(its words), whatever changes. Host only.
class TablePatch {
 public:
  [[nodiscard]] static constexpr std::int64_t bytes_for(std::int64_t num_words) {
    return (num_words + run_words * (num_words / longest + 2)) * word_bytes;
  }

  TablePatch(std::byte* begin, std::int64_t bytes) : words_(begin), runs_end_(begin + bytes) {}

  /// See TableBuffer. Cannot fail.
  void operator()(std::byte const* words, std::int64_t first, std::int64_t count) {
    std::int64_t const end = std::int64_t{last_.to} + last_.size, gap = first - end;
    if (num_runs_ > 0 && gap <= run_words) {
      first = end;
      count += gap;
    } else {
      begin_run(first);
    }
    while (count > 0) {
      if (last_.size == longest) begin_run(first);
      std::int64_t const n = std::min<std::int64_t>(count, longest - last_.size);
      std::memcpy(words_ + num_words_ * word_bytes, words + first * word_bytes,
                  static_cast<std::size_t>(n * word_bytes));
      num_words_ += n;
      last_.size += static_cast<std::uint32_t>(n);
      store_last();
      first += n;
      count -= n;
    }
  }

  /// What the device will read.
  [[nodiscard]] std::int64_t bytes() const noexcept { return (num_words_ + run_words * num_runs_) * word_bytes; }

  /// Makes the changes in `tables` on `stream`. Asynchronous: the memory stays as it is until the stream has passed.
  void apply(std::byte* tables, cudaStream_t stream) const {
    if (num_runs_ == 0) return;
    ops::launch(patch_tables_kernel<>, ops::grid_for(std::int64_t{256} * num_runs_), 256, 0, stream,
                aligned_cast<std::int32_t>(tables), aligned_cast<std::int32_t const>(words_),
                aligned_cast<TableRun const>(runs_end_), num_runs_);
  }

 private:
  static constexpr std::int64_t word_bytes = 4, run_words = 3, longest = 1024;
  static_assert(sizeof(TableRun) == run_words * word_bytes);

  void begin_run(std::int64_t first) {
    last_ = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(num_words_), 0};
    ++num_runs_;
  }
  void store_last() {
    std::memcpy(runs_end_ - num_runs_ * static_cast<std::int64_t>(sizeof(TableRun)), &last_, sizeof(TableRun));
  }

  std::byte *words_, *runs_end_;
  std::int64_t num_words_ = 0;
  std::int32_t num_runs_ = 0;
  TableRun last_{};
};

}  // namespace folio
