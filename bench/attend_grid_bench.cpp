// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The whole grid of ops::attend on the host, so that no shape is slow without anybody knowing:
//
//   attend/grid/FORMAT/dD/gG/qQ/bB   D elements in a row, G query heads for each of 2 kv heads, Q query tokens,
//                                    B tokens in a block; FORMAT ends with the layout where that is not hnd
//
// Baseline: f16 in layout hnd, blocks of 16, D = 128, with the same G and Q, run in turn with each case by one thread.
// `ratio_per_byte` is the time for each byte of stored keys and values over the baseline's: 1 where a format half as
// large takes half the time. `ratio_per_element` is the time for each stored element over the baseline's: below 1 where
// a format is faster than f16. Each is the least of five steps over the least of the baseline's. Time is the
// processor's, so that other programs change little. A step reads more than a core's own caches hold; it has fewer
// tokens the more rows of queries there are, so that all of it takes at most three minutes.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <folio/ops/demote.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t kv_heads = 2;

/// A block size that is known when the program runs, so that a format's attention is one type for each dim.
struct AnyBlockSize {
  static constexpr int num_sizes = 1;
  static constexpr std::int32_t block_size(int) { return dynamic; }
};
static_assert(BlockSizePolicy<AnyBlockSize>);

template <std::int32_t dim>
inline constexpr ModelConfig model{.layers = 1, .kv_heads = kv_heads, .head_dim = dim};

/// One sequence of `tokens` tokens, whose last `queries` are the step's, over memory of its own.
template <class View>
class Memory {
 public:
  using Keys = typename View::KeyQuantizer;
  using Values = typename View::ValueQuantizer;

  Memory(std::int32_t tokens, std::int32_t queries, std::int32_t block_size)
      : shape_(group_shape(View::ModelType::config, 0, block_size)),
        block_bytes_(BlockMap<Keys, Values, typename View::Layout>{shape_}.block_bytes()),
        blocks_(to_size(blocks_for(tokens, block_size))),
        slots_(to_size(queries)),
        lengths_{tokens},
        query_starts_{0, queries},
        pool_(to_size(block_bytes_ * (std::ssize(blocks_) + 1) + alignment)) {
    std::iota(blocks_.begin(), blocks_.end(), 1);
    std::iota(slots_.begin(), slots_.end(), std::int64_t{block_size} + tokens - queries);
  }

  [[nodiscard]] View view() {
    GroupTable const group{base(), blocks_.data(), slots_.data(), static_cast<std::int32_t>(blocks_.size()), shape_};
    return View({group}, lengths_, query_starts_, 1, query_starts_[1]);
  }

  /// Stores random rows in the first blocks, and copies of those in all others.
  void fill() {
    constexpr std::int32_t dim = View::ModelType::config.head_dim;
    std::int32_t const block_size = shape_.block_size, num_blocks = std::max(1, 256 / block_size);
    std::int32_t const tokens = num_blocks * block_size;
    std::vector<float> const rows = random_floats(std::int64_t{tokens} * kv_heads * dim);
    if constexpr (is_tile_format<Keys>) {
      using Floats = BlockTableView<typename View::ModelType, AnyBlockSize, F32, F32, LayoutHnd>;
      Memory<Floats> floats(tokens, tokens, block_size);
      ops::append(floats.view(), 0, rows.data(), rows.data());
      ops::demote(floats.view(), 0, {0, 0, tokens}, view(), {0, 0, tokens});
    } else {
      auto const layer = view().sequence(0, 0).layer();
      for (std::int32_t row = 0; row < tokens * kv_heads; ++row) {
        std::int32_t const head = row % kv_heads, slot = row / kv_heads % block_size;
        BlockId const block{1 + row / kv_heads / block_size};
        layer.key(block, head, slot).store(rows.data() + std::int64_t{row} * dim, dim);
        layer.value(block, head, slot).store(rows.data() + std::int64_t{row} * dim, dim);
      }
    }
    for (std::int64_t block = num_blocks; block < std::ssize(blocks_); ++block)
      std::copy_n(base() + (1 + block % num_blocks) * block_bytes_, block_bytes_, base() + (1 + block) * block_bytes_);
  }

 private:
  static constexpr std::int64_t alignment = 64;
  [[nodiscard]] std::byte* base() {
    void* begin = pool_.data();
    std::size_t room = pool_.size();
    return static_cast<std::byte*>(std::align(alignment, 1, begin, room));
  }

  GroupShape shape_;
  std::int64_t block_bytes_;
  std::vector<std::int32_t> blocks_;
  std::vector<std::int64_t> slots_;
  std::int32_t lengths_[1], query_starts_[2];
  std::vector<std::byte> pool_;
};

/// How many tokens of `dim` elements a case has: as many elements for all dims, whole blocks for all block sizes.
std::int32_t tokens_of(std::int32_t dim, std::int32_t heads, std::int32_t queries) {
  std::int32_t const rows = std::max(8, heads * queries);
  return std::max(1024, 16384 * 8 / rows) * 128 / dim / 256 * 256;
}

/// A step of one case, without its types.
class Step {
 public:
  template <class View>
  Step(std::type_identity<View>, std::int32_t heads, std::int32_t queries, std::int32_t block_size)
      : tokens_(tokens_of(dim_of<View>, heads, queries)),
        elements_(2.0 * tokens_ * kv_heads * dim_of<View>),
        bytes_(elements_ / 16 *
               (bits_per_element<typename View::KeyQuantizer>(dim_of<View>) +
                bits_per_element<typename View::ValueQuantizer>(dim_of<View>))),
        q_(random_floats(std::int64_t{queries} * kv_heads * heads * dim_of<View>)),
        out_(q_.size()) {
    auto const memory = std::make_shared<Memory<View>>(tokens_, queries, block_size);
    memory->fill();
    run_ = [this, memory, heads] {
      ops::attend(memory->view(), 0, AttentionIo{q_.data(), kv_heads * heads, out_.data()});
    };
  }

  Step(Step const&) = delete;
  Step& operator=(Step const&) = delete;

  /// Returns its seconds of processor time.
  double run() {
    std::clock_t const start = std::clock();
    run_();
    benchmark::DoNotOptimize(out_.data());
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  }
  [[nodiscard]] double elements() const { return elements_; }
  [[nodiscard]] double bytes() const { return bytes_; }

 private:
  template <class View>
  static constexpr std::int32_t dim_of = View::ModelType::config.head_dim;

  std::int32_t tokens_;
  double elements_, bytes_;
  std::vector<float> q_, out_;
  std::function<void()> run_;
};

template <class Keys, class Values, class Layout, std::int32_t dim, class Blocks = AnyBlockSize>
using View = BlockTableView<Model<model<dim>>, Blocks, Keys, Values, Layout>;

/// The baseline for these queries; the last one that was asked for stays.
Step& baseline(std::int32_t heads, std::int32_t queries) {
  static std::optional<Step> step;
  static std::pair<std::int32_t, std::int32_t> of;
  if (!step.has_value() || of != std::pair(heads, queries))
    step.emplace(std::type_identity<View<F16, F16, LayoutHnd, 128>>(), heads, queries, 16);
  of = {heads, queries};
  return *step;
}

template <class V>
void measure(benchmark::State& state, std::int32_t heads, std::int32_t queries, std::int32_t block_size) {
  Step& f16 = baseline(heads, queries);
  Step step(std::type_identity<V>(), heads, queries, block_size);
  double seconds = step.run(), f16_seconds = f16.run();  // both are warm now
  for (auto _ : state) {
    f16_seconds = std::min(f16_seconds, f16.run());
    double const time = step.run();
    seconds = std::min(seconds, time);
    state.SetIterationTime(time);
  }
  state.counters["ratio_per_byte"] = seconds / step.bytes() / (f16_seconds / f16.bytes());
  state.counters["ratio_per_element"] = seconds / step.elements() / (f16_seconds / f16.elements());
}

/// The queries of a case: query heads for each kv head, and query tokens.
struct Queries {
  std::int32_t heads, tokens;
};

template <class V>
void add_case(std::string const& format, Queries queries, std::int32_t block_size) {
  std::string const name = "attend/grid/" + format + "/d" + std::to_string(V::ModelType::config.head_dim) + "/g" +
                           std::to_string(queries.heads) + "/q" + std::to_string(queries.tokens) + "/b" +
                           std::to_string(block_size);
  benchmark::RegisterBenchmark(name.c_str(), measure<V>, queries.heads, queries.tokens, block_size)
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(4)
      ->UseManualTime();
}

template <std::int32_t... dims>
struct Dims {
  template <class Keys, class Values, class Layout>
  static void add(std::string const& format, Queries queries) {
    for (std::int32_t const block_size : {1, 8, 16, 64})
      (add_case<View<Keys, Values, Layout, dims>>(format, queries, block_size), ...);
  }
  /// A tile is a block.
  template <std::int32_t tokens>
  static void add_tiles(std::string const& format, Queries queries) {
    (add_case<View<TwoSidedTile<2, tokens, GridSide::channels>, TwoSidedTile<2, tokens, GridSide::tokens>, LayoutHnd,
                   dims, BlockSize<tokens>>>(format, queries, tokens),
     ...);
  }
};
using AllDims = Dims<64, 80, 128, 256>;

template <class Keys, class Values = Keys, class Layout = LayoutHnd>
void add(std::string const& format, Queries queries) {
  AllDims::add<Keys, Values, Layout>(format, queries);
}

void add_formats(Queries queries) {
  add<F32>("f32", queries);
  add<F16>("f16", queries);
  add<BF16>("bf16", queries);
  add<Fp8E4M3>("fp8_e4m3", queries);
  add<Int8PerToken>("int8", queries);
  add<Int8PerGroup<32>>("int8_g32", queries);
  add<Int6Rotated>("int6_rotated", queries);
  add<Int4Rotated>("int4_rotated", queries);
  add<Int4PerGroup<32>>("int4_g32", queries);
  add<Int3Rotated>("int3_rotated", queries);
  add<Int2Rotated>("int2_rotated", queries);
  add<Nvfp4>("nvfp4", queries);
  add<Mxfp4>("mxfp4", queries);
  add<Int8PerToken, Int4Rotated>("k_int8_v_int4_rotated", queries);
  add<F16, F16, LayoutNhd>("f16_nhd", queries);
  add<F16, F16, LayoutInterleaved>("f16_interleaved", queries);
  add<Int8PerToken, Int8PerToken, LayoutInterleaved>("int8_interleaved", queries);
  AllDims::add_tiles<32>("int2_two_sided", queries);
  AllDims::add_tiles<64>("int2_two_sided", queries);
  AllDims::add_tiles<128>("int2_two_sided", queries);
}

[[maybe_unused]] bool const registered = [] {
  for (std::int32_t const heads : {1, 4, 8})
    for (std::int32_t const tokens : {1, 16}) add_formats({heads, tokens});
  return true;
}();

}  // namespace
