// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// One launch from its beginning to its end.
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "asan.hpp"
#include "block.hpp"
#include "memory.hpp"

namespace simt::detail {
namespace {

// What every GPU since Volta can do, but for the shared memory, which is that of Hopper and Blackwell.
constexpr Index3 max_grid{0x7fffffff, 65535, 65535}, max_block{1024, 1024, 64};
constexpr std::uint64_t max_threads = 1024;
constexpr std::size_t max_shared_bytes = 227 * 1024;

#if defined(SIMT_ASAN)
constexpr std::size_t stack_factor = 4;
#else
constexpr std::size_t stack_factor = 1;
#endif

[[noreturn]] void refuse(Plan const& plan, std::string const& what) {
  throw Error(Fault::launch, std::string("kernel '") + plan.name + "': " + what);
}

bool holds(Index3 const& limit, Index3 const& extent) {
  return extent.x >= 1 && extent.y >= 1 && extent.z >= 1 && extent.x <= limit.x && extent.y <= limit.y &&
         extent.z <= limit.z;
}

void check(Plan const& plan) {
  if (runner.plan != nullptr) refuse(plan, "is launched while another kernel runs; launch one after another");
  if (!holds(max_grid, plan.grid))
    refuse(plan, "the grid " + to_string(plan.grid) + " is not from (1,1,1) to " + to_string(max_grid));
  if (!holds(max_block, plan.block) || volume(plan.block) > max_threads)
    refuse(plan, "the block " + to_string(plan.block) + " is not from (1,1,1) to " + to_string(max_block) +
                     " with at most 1024 threads");
  if (plan.shared_bytes > max_shared_bytes)
    refuse(plan, "asks for " + std::to_string(plan.shared_bytes) + " bytes of shared memory; a block has at most " +
                     std::to_string(max_shared_bytes));
}

/// Sets the runner up for a launch, and takes it down again, however the launch ends.
class Launching {
 public:
  Launching(Plan const& plan, void (*body)(void const*), void const* argument) : plan_(plan) {
    plan_.stack_bytes *= stack_factor;
    runner.num_threads = static_cast<int>(volume(plan.block));
    while (runner.threads.size() < static_cast<std::size_t>(runner.num_threads)) runner.threads.emplace_back();
    runner.body = body;
    runner.argument = argument;
    runner.random = plan.seed;
    runner.failure.reset();
    runner.shared = allocate_shared(plan.shared_bytes);
    block_extent = plan.block;
    grid_extent = plan.grid;
    runner.plan = &plan_;
    memory_launch_begins();
  }
  Launching(Launching const&) = delete;
  Launching& operator=(Launching const&) = delete;
  ~Launching() {
    deallocate(runner.shared);
    runner.plan = nullptr;
  }

 private:
  Plan plan_;
};

}  // namespace

void run(Plan const& plan, void (*body)(void const*), void const* argument) {
  check(plan);
  Launching const launching(plan, body, argument);
  std::vector<std::uint64_t> blocks(volume(plan.grid));
  std::iota(blocks.begin(), blocks.end(), std::uint64_t{0});
  std::vector<int> order(static_cast<std::size_t>(runner.num_threads));
  std::iota(order.begin(), order.end(), 0);
  if (plan.seed != 0)
    for (std::size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[draw(i)]);
  for (std::uint64_t const block : blocks) {
    block_index = unravel(block, plan.grid);
    memory_block_begins(block);
    run_block(order);
    if (runner.failure) throw *std::exchange(runner.failure, std::nullopt);
    memory_block_ends();
  }
}

}  // namespace simt::detail
