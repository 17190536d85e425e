// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Plans a cache before there is one: how large a block, how many sequences fit, how much memory for whom, and which
// prompts are worth computing ahead. From a histogram of lengths, a budget and rates, which an operator knows.

#include <cmath>
#include <cstdint>
#include <folio/folio.hpp>
#include <folio/planning.hpp>
#include <folio/prefix/prompt_registry.hpp>
#include <iomanip>
#include <iostream>
#include <vector>

using folio::models::llama3_1_8b;

/// The same cache with another block size, of which only the shape is asked: nothing is allocated.
template <std::int32_t Tokens>
std::int64_t bytes_of_a_block() {
  using Cache = folio::KvCache<folio::Model<llama3_1_8b>, folio::BlockSize<Tokens>, folio::Int8PerToken>;
  return typename Cache::template Map<0>{Cache::resolve({}).front()}.block_bytes();
}

int main() {
  constexpr double memory = 40.0 * (1 << 30);  // bytes for keys and values
  std::cout << std::fixed << std::setprecision(1);

  // [block_size]
  folio::LengthRange const lengths[] = {{50, 500, 0.6}, {501, 4000, 0.3}, {4001, 32000, 0.1}};  // tokens, and shares
  std::int32_t const sizes[] = {16, 32, 64, 128, 256};
  std::vector<folio::BlockSizeCost> const costs = folio::block_size_costs(lengths, sizes);
  folio::BlockSizeCost const best = folio::best_block_size(costs, 0.04);  // at most 4 percent of the slots are empty
  // [/block_size]
  std::vector<std::int64_t> const bytes{bytes_of_a_block<16>(), bytes_of_a_block<32>(), bytes_of_a_block<64>(),
                                        bytes_of_a_block<128>(), bytes_of_a_block<256>()};
  double best_sequences = 0;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    double const sequences = memory / static_cast<double>(bytes[i]) / costs[i].mean_blocks;
    bool const is_best = costs[i].block_size == best.block_size;
    if (is_best) best_sequences = sequences;
    std::cout << "blocks of " << costs[i].block_size << " tokens: " << costs[i].mean_blocks << " in a table, "
              << 100 * costs[i].waste << " % of the slots empty, " << sequences << " sequences at once"
              << (is_best ? "  <- take this\n" : "\n");
  }

  // [split]
  folio::MemoryClaim const tenants[] = {{900}, {90}, {10}};  // tokens per second
  std::vector<double> const gigabytes = folio::fair_split(tenants, 40, 0.5);
  // [/split]
  for (std::size_t i = 0; i < gigabytes.size(); ++i)
    std::cout << "tenant " << i << " asks for " << tenants[i].rate << " tokens per second: " << gigabytes[i]
              << " GiB\n";

  // [prefetch]
  double const chance = 0.3;         // that somebody asks for it before it is evicted
  double const saved = 8000;         // tokens that a hit need not compute while a user waits
  double const cost = 0.25 * saved;  // computed when the machine is idle, these count a quarter
  bool const compute_ahead = folio::worth_prefetching(chance, saved, cost);
  // [/prefetch]
  std::cout << "a document of 8,000 tokens, asked for with a chance of " << chance << ": "
            << (compute_ahead ? "compute it ahead\n" : "wait until somebody asks\n");

  // What must come out: larger blocks would waste too much; the parts are the whole, and fair; 0.3 is above 0.2.
  double const low = gigabytes[0] / tenants[0].rate, high = gigabytes[2] / tenants[2].rate;
  bool const is_right = best.block_size == 128 && best.waste <= 0.04 && best_sequences > 100 && compute_ahead &&
                        std::abs(gigabytes[0] + gigabytes[1] + gigabytes[2] - 40) < 1e-9 && low >= 0.49 * high;
  std::cout << (is_right ? "as planned\n" : "NOT as planned\n");
  return is_right && std::cout.flush() ? 0 : 1;
}
