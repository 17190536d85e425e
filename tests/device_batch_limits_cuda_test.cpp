// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Limits of queries on the device: as the host's tables have them, in every step of a batch that was made with them.
#include "support/device_steps.hpp"
//

#include "support/random.hpp"

namespace {

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::CudaStream;
using folio::test::error_of;
using folio::test::numbers_of;
using folio::test::Steps;
using folio::test::tokens_in;
using Cache = folio::test::StepsCache<>;
using Numbers = std::vector<std::int32_t>;

constexpr BatchCapacity with_limits{4, 24, 64, true};

}  // namespace

TEST_CASE("limits come to the device, and nothing of them is left in the next step") {
  simt::streams(GENERATE(range(0, 8)));
  std::mt19937 random(5);
  Cache cache({.num_blocks = {80, 160}});
  std::vector<Sequence> sequences;
  for (std::int32_t const length : {3, 11, 24, 64}) sequences.push_back(cache.create(length));
  Steps steps(cache, with_limits);
  CudaStream const stream;
  std::deque<std::vector<std::int64_t>> wanted;
  std::deque<simt::Buffer<std::int64_t> const*> seen;
  for (int step = 0; step < 12; ++step) {
    std::vector<Numbers> numbers(4);
    std::vector<BatchItem> items;
    for (std::size_t i = 0; i < static_cast<std::size_t>(below(random, 5)); ++i) {
      for (std::int32_t t = 0; t < sequences[i].num_tokens() && numbers[i].size() < 6; ++t)
        if (below(random, i < 2 ? 2 : 9) == 0) numbers[i].push_back(t);
      items.push_back(step % 3 == 2           ? BatchItem(&sequences[i], 2)
                      : below(random, 2) == 0 ? BatchItem(&sequences[i], numbers[i])
                                              : BatchItem::seeing(&sequences[i], numbers[i]));
    }
    steps.batch().upload(items, stream);
    wanted.push_back(numbers_of(steps.batch().tables(), 2));
    seen.push_back(&steps.record(stream));
    CHECK(steps.batch().tables().limits(1).size() == 24);
    CHECK(steps.batch().tables().table_width(1) == 32);  // rows of a window are as long as others
  }
  stream.wait();
  for (std::size_t step = 0; step < seen.size(); ++step) {
    INFO("step " << step);
    CHECK(seen[step]->to_vector() == wanted[step]);
  }
}

TEST_CASE("kernels write tokens at positions, and nothing for queries whose tokens are elsewhere") {
  simt::streams(GENERATE(range(0, 8)));
  Cache cache({.num_blocks = {40, 80}});
  Sequence s = cache.create(7);
  Steps steps(cache, with_limits);
  CudaStream const stream;
  Numbers const at{0, 2, 5}, limits{7, 7};
  steps.write({{&s, 7}}, 10, stream);
  steps.write({{&s, at}}, 50, stream);
  steps.write({BatchItem::seeing(&s, limits)}, 90, stream);
  auto const& read = steps.read(0, 7, stream);
  stream.wait();
  CHECK(tokens_in(read) == std::vector<int>{50, 11, 51, 13, 14, 52, 16});
}

TEST_CASE("a batch that was made without limits refuses queries by positions or limits, and the last step stays") {
  Cache cache({.num_blocks = {40, 80}});
  Sequence const s = cache.create(7), t = cache.create(2);
  Steps steps(cache);
  CudaStream const stream;
  steps.batch().upload({&s}, stream);
  auto const before = numbers_of(steps.batch().tables(), 2);
  Numbers const at{1}, none;
  std::string const sentence =
      "sequence 1 of the step has queries by positions or limits, for which this DeviceBatch has no room; make one "
      "with "
      "BatchCapacity::has_limits";
  CHECK_THROWS_WITH(steps.batch().upload({&s, {&t, at}}, stream), contains(sentence));
  CHECK_THROWS_WITH(steps.batch().upload({&s, BatchItem::seeing(&t, at)}, stream), contains(sentence));
  CHECK(numbers_of(steps.batch().tables(), 2) == before);
  CHECK(steps.batch().view().group(0).limits == nullptr);
  CHECK_NOTHROW(steps.batch().upload({&s, {&t, none}}, stream));
  stream.wait();
}

TEST_CASE("a step with limits that is too large is refused, also where only a window's row is too long") {
  Cache cache({.num_blocks = {80, 160}});
  Sequence const s = cache.create(80);
  Steps steps(cache, {4, 4, 64, true});
  CudaStream const stream;
  Numbers const near{70, 79}, many{60, 61, 62, 63, 64};
  CHECK_THROWS_WITH(steps.batch().upload({{&s, near}}, stream),
                    contains("this step has 1 sequences, 2 query tokens and 80"));
  CHECK_THROWS_WITH(steps.batch().upload({{&s, many}}, stream), contains("5 query tokens"));
  stream.wait();

  constexpr ModelConfig window{.layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {sliding_window(8)}};
  KvCache<Model<window>, BlockSize<2>, F32, DeviceAllocator> windows({.num_blocks = {80}});
  Sequence const w = windows.create(80);
  DeviceBatch batch(windows, {1, 4, 20, true});
  Numbers const fits{68, 79}, far{66, 79};  // with the window before it: from 61 on, and from 59
  CHECK_NOTHROW(batch.upload({{&w, fits}}, stream));
  CHECK(batch.tables().table_width() == 10);
  CHECK_THROWS_WITH(batch.upload({{&w, far}}, stream), contains("2 query tokens and 80 tokens"));
  stream.wait();
}
