// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A step's attention, planned once for all layers, with the memory that takes. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/host/attend_layer.hpp>
#include <folio/attention/host/attend_task.hpp>
#include <folio/attention/host/attend_work.hpp>
#include <folio/attention/host/execution.hpp>
#include <folio/attention/host/kernels.hpp>
#include <folio/attention/host/reads_in_place.hpp>
#include <folio/attention/params.hpp>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/model.hpp>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace folio::ops::detail {

/// Tasks between two works. A thread takes one that knows its work, or one that knows another. A template, as tasks and
/// plans of groups, for the compiler: sources that do not attend do not pay for it.
template <class Task = AttendTask<>>
class TaskStore {
 public:
  /// Makes at least `count` tasks, each ready for the works of `shares`: any of them may be taken.
  void reserve(std::size_t count, AttendLayers const& layers, AttendShares const& shares, std::int32_t heads,
               bool with_tree) {
    tasks_.reserve(count);
    while (tasks_.size() < count) tasks_.push_back(std::make_unique<Task>());
    for (auto const& task : tasks_) task->reserve(layers, shares, heads, with_tree);
  }
  /// Each for the step's own tokens as well.
  void reserve_own(AttendLayers const& layers, AttendShares const& shares, std::int32_t heads, bool with_tree,
                   bool converts) {
    for (auto const& task : tasks_) task->reserve_own(layers, shares, heads, with_tree, converts);
  }
  void forget() {
    for (auto const& task : tasks_) task->forget();
  }
  [[nodiscard]] std::unique_ptr<Task> take(AttendWork const& work) {
    std::lock_guard const lock(mutex_);
    if (tasks_.empty()) return std::make_unique<Task>();  // an executor with more threads than it said
    auto at = std::find_if(tasks_.begin(), tasks_.end(), [&](auto const& task) { return task->knows(work); });
    if (at == tasks_.end()) at = tasks_.begin();
    std::swap(*at, tasks_.back());
    std::unique_ptr<Task> task = std::move(tasks_.back());
    tasks_.pop_back();
    return task;
  }
  void give_back(std::unique_ptr<Task> task) {
    std::lock_guard const lock(mutex_);
    tasks_.push_back(std::move(task));
    if (tasks_.size() > 1) std::swap(tasks_.front(), tasks_.back());  // warm, and ready for the largest work
  }

  /// Whether that was the last of a work's parts: whoever is told so merges them.
  [[nodiscard]] bool finish_part(std::int32_t& parts_done, std::int32_t parts) {
    std::lock_guard const lock(mutex_);
    return ++parts_done == parts;
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Task>> tasks_;
};

/// A group of layers in a step.
template <class Task = AttendTask<>>
struct GroupPlan {
  AttendLayers layers;
  std::vector<AttendSequence> sequences;
  AttendShares shares;
  std::int32_t heads = 0;                  ///< query heads of a kv head
  std::vector<AttentionAccumulator> sums;  ///< of the parts; as many as ever were needed
  std::vector<std::int32_t> parts_done;    ///< of each work
  TaskStore<Task> tasks;
  enum class OwnRoom : std::uint8_t { none, floats, any } own_room = OwnRoom::none;  ///< of the tasks, for own tokens
  void const* type = nullptr;  ///< whose offsets `layers` has: an address for each type of view and group

  /// After `layers` and `sequences` are there.
  void share(std::int32_t num_query_heads, AttentionParams const& params, int num_threads) {
    heads = num_query_heads / layers.shape.kv_heads;
    own_room = OwnRoom::none;
    partition_work({sequences, layers.shape.kv_heads, heads, layers.shape.key_dim + layers.shape.value_dim, num_threads,
                    params.token_end, params.causal && params.tree_mask == nullptr,
                    layers.keys.few_tokens.decodes || layers.values.few_tokens.decodes},
                   shares);
    if (sums.size() < static_cast<std::size_t>(shares.num_sums)) sums.resize(static_cast<std::size_t>(shares.num_sums));
    parts_done.assign(shares.works.size(), 0);
    AttentionShape const shape{layers.shape.key_dim, layers.shape.value_dim, shares.most_queries, heads};
    std::int32_t const rows = blocks_for(shape.rows(), attention::block_rows) * attention::block_rows;
    std::int32_t const columns = std::max(layers.values.few_rows.value_columns(shape.value_dim),
                                          layers.values.many_rows.value_columns(shape.value_dim));
    for (std::int64_t i = 0; i < shares.num_sums; ++i) sums[static_cast<std::size_t>(i)].reserve(rows, columns);
    tasks.reserve(std::min(static_cast<std::size_t>(num_threads), shares.pieces.size()), layers, shares, heads,
                  params.tree_mask != nullptr);
  }

  /// In the step's first call that brings own tokens, before any thread works.
  void make_own_room(bool with_tree, OwnRoom needed) {
    if (own_room >= needed) return;
    layers.own_rows = attention::row_kernels<attention::float_rows>(false);
    tasks.reserve_own(layers, shares, heads, with_tree, needed == OwnRoom::any);
    own_room = needed;
  }

  void run(std::int32_t index, std::int32_t num_query_heads, AttentionParams const& params, AttendOperands const& io,
           Executor threads) {
    if (io.k != nullptr)
      make_own_room(params.tree_mask != nullptr, io.load == nullptr ? OwnRoom::floats : OwnRoom::any);
    AttendCall const call{
        layers, index, layers.table.pool + index * layers.layer_bytes, sequences, num_query_heads, heads, params, io};
    tasks.forget();
    std::fill(parts_done.begin(), parts_done.end(), 0);
    parallel_for(threads, static_cast<std::int64_t>(shares.pieces.size()), [&](std::int64_t i) {
      AttendPiece const& piece = shares.pieces[static_cast<std::size_t>(i)];
      AttendWork const& work = shares.works[piece.work];
      auto task = tasks.take(work);
      task->begin(call, work);
      AttentionAccumulator* const parts = sums.data() + work.first_sums;
      bool last = piece.part < 0;
      if (piece.part < 0) {
        task->sum_all();
      } else {
        task->sum_part(piece.part, parts + piece.part * work.kv_heads);
        last = tasks.finish_part(parts_done[piece.work], work.parts);
        if (last) task->merge_parts(parts);
      }
      if (last) task->store();
      tasks.give_back(std::move(task));
    });
  }
};

/// A step. Its memory stays for the next one.
struct StepPlan {
  GroupPlan<> groups[std::size_t{max_groups}];
  LayerPattern pattern;
  std::int32_t num_query_heads = 0, num_query_tokens = 0;
  AttentionParams params;
  Executor threads;
  std::vector<float> queries, results, own_keys,
      own_values;           ///< of those who change them before and after: precision/mixed_ops.hpp
  std::int64_t number = 0;  ///< of the steps that were planned in this memory
};

}  // namespace folio::ops::detail

namespace folio {

/// Attention plan: what a step's attention makes once and uses in every layer: who computes what, where rows are, and
/// memory for that. Made by ops::plan_attention, used by ops::attend, one call at a time.
///
/// It refers to the batch's tables, to the pool of threads and to what its parameters point to: these must stay. A
/// workspace in which another step is planned ends it.
class AttentionPlan {
 public:
  /// A step of its own or the workspace's. For ops::plan_attention; a template as TaskStore is.
  template <class Step = ops::detail::StepPlan>
  explicit AttentionPlan(HostExecution const& execution) {
    if (execution.workspace != nullptr) step_ = execution.workspace->step_;
    if (step_ == nullptr) step_ = std::make_shared<Step>();
    if (execution.workspace != nullptr) execution.workspace->step_ = step_;
    step_->threads = execution.threads;
    number_ = ++step_->number;
  }

  [[nodiscard]] AttentionParams const& params() const { return step().params; }
  [[nodiscard]] std::int32_t num_query_heads() const { return step().num_query_heads; }

  /// For ops. Throws Error when its workspace has planned another step.
  [[nodiscard]] ops::detail::StepPlan& step() const {
    if (step_->number != number_)
      throw Error("folio: another step was planned in this attention plan's workspace; plan again");
    return *step_;
  }

 private:
  std::shared_ptr<ops::detail::StepPlan> step_;
  std::int64_t number_ = 0;
};

}  // namespace folio
