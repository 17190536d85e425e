// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values: decode, chunked prefill and anything between. Host only.
//
// attend() cuts the work into tasks; a task finds the rows of its tiles (here) and runs them through the kernels of the
// formats on this machine (tile_attention.hpp, simd/kernels.hpp); the parts of a long sequence are merged at the end.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/ops/attend_task.hpp>
#include <folio/ops/attend_work.hpp>
#include <folio/ops/thread_pool.hpp>
#include <folio/ops/tile_attention.hpp>
#include <folio/ops/with_group.hpp>
#include <folio/simd/row_format.hpp>
#include <limits>
#include <utility>
#include <vector>

namespace folio::ops {

/// Whether attend reads this view's rows in place, by kernels of their formats. Else a plane whose format has none, or
/// whose rows the layout cuts into runs, is decoded to floats tile by tile first, which takes several times as long.
template <class View>
inline constexpr bool has_fast_attend =
    simd::reads_in_place<typename View::KeyQuantizer, typename View::Layout>(Plane::key) &&
    simd::reads_in_place<typename View::ValueQuantizer, typename View::Layout>(Plane::value);

/// Softmax attention of a step's query tokens over everything their sequences have stored in one layer.
///
/// `q`: [view.num_query_tokens()][num_query_heads][key_dim], `out`: [..][num_query_heads][value_dim], `lse` (or null):
/// [..][num_query_heads] natural logarithm of the sum of exponentiated scores. num_query_heads is a multiple of
/// kv_heads; query head h reads kv head h / (num_query_heads / kv_heads): MHA, GQA, MQA, and MLA with the absorbed
/// query of rank + rope dims. Causal: the query at position p sees tokens up to p, in a window layer those of its
/// window and the sinks. A query that sees nothing gives zeros and an lse of -infinity, which merge_attention takes.
/// The result of a query does not depend on the other queries, on how a prompt was cut into steps, or on `threads`. It
/// does on the machine's instructions, in the last bits.
///
/// Each key and value is read once for all query heads of its kv head and up to 32 query tokens. Integers of 2 to 8
/// bits (8 symmetric ones; asymmetric ones; one scale for a row, or those of a tile of a multiple of 64 tokens) are not
/// decoded: queries and weights become integers of 16 bits, finer than f16, and are multiplied with the codes. Those
/// sums are exact and the same on every machine; scales and minima are applied to them, those of channels to the query
/// before it becomes integers and to the sums of values. Floating-point rows are widened in registers, or, for more
/// than 8 query rows, once for each tile. `has_fast_attend` tells which views that holds for. Others decode tile by
/// tile. Thread-safe as far as its `threads` are one caller's. Memory: about 100 KiB for each thread, and for long
/// contexts shared by threads the sums of each 1,024 tokens. Throws Error, before anything is written, for a layer or
/// head count that does not fit.
template <HostReadableView View>
void attend(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads, float* out,
            float* lse = nullptr, AttendOptions const& options = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    GroupShape const shape = LayerView<View, group()>(view.group(group()), index).shape();
    if (num_query_heads < 1 || num_query_heads % shape.kv_heads != 0)
      throw Error("folio: " + std::to_string(num_query_heads) + " query heads cannot share " +
                  std::to_string(shape.kv_heads) + " kv heads; give a multiple");
    auto const tokens_of = [&](std::int32_t sequence) {
      return std::min(view.template sequence_in<group()>(sequence, index).num_tokens(), options.token_end);
    };
    int const num_threads = options.threads != nullptr ? options.threads->num_threads() : 1;
    std::int32_t const heads = num_query_heads / shape.kv_heads;
    auto works = detail::share_out(view, shape.kv_heads, heads, num_threads, tokens_of);
    auto const pieces = detail::pieces_of(works);
    if (pieces.empty()) return;
    using SequenceType = std::remove_cvref_t<decltype(view.template sequence_in<group()>(0, index))>;
    using Task = detail::AttendTask<View, SequenceType>;
    detail::AttendCall const call{shape, num_query_heads, heads, options,
                                  Task::find_offsets(view.template sequence_in<group()>(0, index).layer(), shape)};
    detail::TaskStore<Task> tasks;
    auto const run = [&](detail::AttendWork& work, std::int32_t part) {
      std::int64_t const row = std::int64_t{view.query_start(work.sequence) + work.first} * num_query_heads;
      auto task = tasks.take(work, call);
      task->begin(view.template sequence_in<group()>(work.sequence, index), work, q + row * shape.key_dim);
      bool last = part < 0;
      if (part < 0) {
        task->sum_all();
      } else {
        task->sum_part(part, work.sums[detail::to_size(part)]);
        last = tasks.finish_part(work);
        if (last) task->merge_parts();
      }
      if (last) task->store(out + row * shape.value_dim, lse != nullptr ? lse + row : nullptr);
      tasks.give_back(std::move(task));
    };
    parallel_for(options.threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
      run(works[pieces[static_cast<std::size_t>(i)].work], pieces[static_cast<std::size_t>(i)].part);
    });
  });
}

/// attend, for those who rely on its speed: does not compile where a plane has no kernels that read it in place.
template <HostReadableView View>
void attend_fast(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads, float* out,
                 float* lse = nullptr, AttendOptions const& options = {}) {
  static_assert(has_fast_attend<View>,
                "folio: attend has no fast kernels for this view: take a layout that keeps rows whole, and quantizers "
                "with a row_format, or ops::attend, which decodes other rows first");
  attend(view, layer, q, num_query_heads, out, lse, options);
}

}  // namespace folio::ops
