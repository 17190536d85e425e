// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// How a launch fails, and in which words.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "block.hpp"

namespace simt::detail {

std::string to_string(Index3 const& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

std::string to_string(Where const& where) {
  std::string const file = where.file;
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(where.line);
}

char const* to_string(Operation operation) {
  constexpr char const* names[] = {// in the order of the enumeration
                                   "__syncthreads",     "__syncthreads_count", "__syncthreads_and", "__syncthreads_or",
                                   "__syncwarp",        "__shfl_sync",         "__shfl_up_sync",    "__shfl_down_sync",
                                   "__shfl_xor_sync",   "__ballot_sync",       "__any_sync",        "__all_sync",
                                   "__match_any_sync",  "__match_all_sync",    "__reduce_add_sync", "__reduce_min_sync",
                                   "__reduce_min_sync", "__reduce_max_sync",   "__reduce_max_sync", "__reduce_and_sync",
                                   "__reduce_or_sync",  "__reduce_xor_sync"};
  static_assert(std::size(names) == static_cast<std::size_t>(Operation::reduce_xor) + 1);
  return names[static_cast<std::size_t>(operation)];
}

namespace {

constexpr std::size_t max_groups_in_message = 6, max_runs_in_message = 4;

std::string block_name() { return std::string("kernel '") + runner.plan->name + "', block " + to_string(block_index); }

/// Where a thread is, in words. Threads with the same words are told of together.
std::string whereabouts(Thread const& thread) {
  if (thread.state == State::returned) return "returned";
  std::string text = std::string("in ") + to_string(thread.call.operation);
  if (thread.state == State::at_warp_operation) {
    char mask[24];
    std::snprintf(mask, sizeof(mask), " with mask 0x%08x", thread.call.mask);
    text += mask;
  }
  return text + " at " + to_string(thread.call.where);
}

/// "threads 0 to 31, 64": in runs, of which the first few are told.
std::string numbers(std::vector<int> const& threads) {
  std::string text = threads.size() == 1 ? "thread " : "threads ";
  std::size_t num_runs = 0;
  for (std::size_t begin = 0, end = 0; begin < threads.size(); begin = end) {
    for (end = begin + 1; end < threads.size() && threads[end] == threads[end - 1] + 1;) ++end;
    if (num_runs == max_runs_in_message) return text + " and " + std::to_string(threads.size() - begin) + " more";
    if (num_runs++ > 0) text += ", ";
    text += std::to_string(threads[begin]);
    if (end - begin > 1) text += (end - begin > 2 ? " to " : ", ") + std::to_string(threads[end - 1]);
  }
  return text;
}

struct Group {
  std::string whereabouts;
  std::vector<int> threads;
};

std::vector<Group> groups() {
  std::vector<Group> all;
  for (int i = 0; i < runner.num_threads; ++i) {
    std::string text = whereabouts(runner.threads[static_cast<std::size_t>(i)]);
    auto const same = std::find_if(all.begin(), all.end(), [&](Group const& g) { return g.whereabouts == text; });
    if (same != all.end()) {
      same->threads.push_back(i);
    } else {
      all.push_back({std::move(text), {i}});
    }
  }
  return all;
}

}  // namespace

void record_failure(Fault fault, Thread const& thread, std::string const& what) {
  Index3 const index = unravel(static_cast<std::uint64_t>(thread.number), block_extent);
  runner.failure.emplace(fault, block_name() + ", thread " + to_string(index) + ": " + what);
}

void fail_stuck() {
  std::string list;
  std::vector<Group> const all = groups();
  bool barrier = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    barrier = barrier || all[i].whereabouts.find("__syncthreads") != std::string::npos;
    if (i < max_groups_in_message) list += (i > 0 ? "; " : "") + numbers(all[i].threads) + ": " + all[i].whereabouts;
  }
  if (all.size() > max_groups_in_message) list += "; and others elsewhere";
  throw Error(
      Fault::divergence,
      block_name() + ": no thread can go on. " + list + ". " +
          (barrier ? "All threads of a block must reach the same __syncthreads before one returns, and all lanes "
                     "that a mask names must make the same call with the same mask."
                   : "All lanes that a mask names must make the same call with the same mask."));
}

}  // namespace simt::detail
