// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How an attention is computed on the host: by whose threads, and in which memory. Host only.

#include <folio/executor.hpp>
#include <memory>
#include <utility>

namespace folio {

namespace ops::detail {
struct StepPlan;
}

/// Attention workspace: memory that is reused from step to step. It grows to what the largest step needed, and a step
/// that needs no more takes nothing from the heap. One step at a time: what was planned in it before is gone. Moved, it
/// stays good for its plan.
class AttentionWorkspace {
 public:
  AttentionWorkspace() = default;
  AttentionWorkspace(AttentionWorkspace&&) noexcept = default;  // a copy would share the memory
  AttentionWorkspace& operator=(AttentionWorkspace&&) noexcept = default;

  /// For attention over two views, the second one's.
  [[nodiscard]] AttentionWorkspace& second() {
    if (second_ == nullptr) second_ = std::make_shared<AttentionWorkspace>();
    return *second_;
  }

 private:
  friend class AttentionPlan;
  std::shared_ptr<ops::detail::StepPlan> step_;
  std::shared_ptr<AttentionWorkspace> second_;
};

/// Execution of a host attention: no bit of the result depends on it.
struct HostExecution {
  Executor threads = {};                    ///< a pool's, such as `&pool` of a ThreadPool; none: the calling thread
  AttentionWorkspace* workspace = nullptr;  ///< null: the call's or the plan's own
};

}  // namespace folio
