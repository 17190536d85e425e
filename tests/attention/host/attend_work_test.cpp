// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// How a step's attention is shared out: whatever the step, each query head of each query token is somebody's, once, and
// over all of its parts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/host/attend_work.hpp>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio::ops::detail;
using folio::test::below;

namespace {

constexpr std::int32_t everything = std::numeric_limits<std::int32_t>::max();

/// What is wrong with the shares of a step, or null.
char const* problem(AttendBatch const& step, AttendShares const& shares) {
  std::vector<std::vector<int>> times(step.sequences.size());  // [sequence][query token * kv heads + head]
  for (std::size_t i = 0; i < times.size(); ++i)
    times[i].resize(static_cast<std::size_t>(step.sequences[i].num_query_tokens * step.kv_heads));
  std::vector<int> sums(static_cast<std::size_t>(shares.num_sums));
  std::vector<std::int32_t> pieces(shares.works.size());
  for (AttendPiece const& piece : shares.pieces) {
    AttendWork const& work = shares.works[piece.work];
    if (work.parts == 0 ? piece.part != -1 : piece.part < 0 || piece.part >= work.parts) return "no such part";
    if (work.parts == 1) return "one part is no part";
    ++pieces[piece.work];
    if (piece.part <= 0)
      for (std::int32_t t = work.first; t < work.first + work.count; ++t)
        for (std::int32_t h = work.first_head; h < work.first_head + work.kv_heads; ++h)
          ++times[static_cast<std::size_t>(work.sequence)].at(static_cast<std::size_t>(t * step.kv_heads + h));
    for (std::int32_t h = 0; h < work.kv_heads && piece.part >= 0; ++h)
      ++sums.at(static_cast<std::size_t>(work.first_sums + piece.part * work.kv_heads + h));
    if (work.count > shares.most_queries || work.kv_heads > shares.most_kv_heads) return "a work is larger than said";
    if (work.count * step.heads > shares.most_rows) return "a work has more rows than said";
    for (std::int32_t t = work.first; t < work.first + work.count; ++t) {
      AttendSequence const& s = step.sequences[static_cast<std::size_t>(work.sequence)];
      std::int32_t const end = std::min(step.causal ? s.position(t) + 1 : s.num_tokens, step.token_end);
      if (work.sees_few != (step.few_apart && end <= folio::attention::few_tokens))
        return "a query is among those that see few tokens, or is not";
    }
  }
  for (std::size_t i = 0; i < pieces.size(); ++i)
    if (pieces[i] != std::max(1, shares.works[i].parts)) return "a part is missing, or there twice";
  for (auto const& of_sequence : times)
    for (int const n : of_sequence)
      if (n != 1) return "a head of a query token is not somebody's once";
  for (int const n : sums)
    if (n != 1) return "a sum is not somebody's once";
  return nullptr;
}

}  // namespace

TEST_CASE("each head of each query token is one work's, and each of its parts one piece's") {
  std::mt19937 random(1);
  AttendShares shares;
  std::int64_t in_parts = 0, several_heads = 0, see_few = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<AttendSequence> sequences;
    for (std::int32_t n = below(random, 12), row = 0; n > 0; --n) {
      std::int32_t const queries = below(random, 3) == 0 ? below(random, 300) : below(random, 3);
      sequences.push_back({nullptr, queries + below(random, below(random, 2) == 0 ? 6 : 20'000), queries, row, 0});
      row += queries;
    }
    std::int32_t const token_end = below(random, 4) == 0 ? below(random, below(random, 2) == 0 ? 6 : 5000) : everything;
    AttendBatch const step{sequences, 1 << below(random, 4), 1 + below(random, 9), 256, 1 + below(random, 16),
                           token_end, below(random, 4) != 0, below(random, 4) != 0};
    partition_work(step, shares);
    char const* const wrong = problem(step, shares);
    INFO("round " << round << ": " << (wrong != nullptr ? wrong : ""));
    REQUIRE(wrong == nullptr);
    for (AttendWork const& work : shares.works) in_parts += work.parts, several_heads += work.kv_heads > 1;
    for (AttendWork const& work : shares.works) see_few += work.sees_few;
    REQUIRE(shares.all_see_few == std::all_of(shares.works.begin(), shares.works.end(),
                                              [](AttendWork const& work) { return work.sees_few; }));
  }
  CHECK(in_parts > 0);
  CHECK(see_few > 0);
  CHECK(several_heads > 0);
}

TEST_CASE("one long sequence is cut for many threads, and a small step for none") {
  std::vector<AttendSequence> const one{{nullptr, 100'000, 1, 0, 0}}, small{{nullptr, 20, 1, 0, 0}};
  AttendShares shares;
  partition_work({one, 8, 4, 256, 16, everything}, shares);
  CHECK(shares.pieces.size() >= 16);
  CHECK(shares.num_sums > 0);
  partition_work({one, 8, 4, 256, 1, everything}, shares);
  CHECK(shares.num_sums == 0);
  partition_work({small, 8, 4, 256, 16, everything}, shares);
  CHECK(shares.works.size() == 1);
  CHECK(shares.works[0].kv_heads == 8);
}
