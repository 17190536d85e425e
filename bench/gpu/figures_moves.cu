// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What moves rows and blocks, against a copy: append, gather, copies within the GPU and over the bus, and uploads.
#include <folio/allocator/device.cuh>
#include <folio/allocator/pinned.cuh>
#include <folio/ops/prefill.cuh>
#include <folio/ops/swap.cuh>

#include "decode.cuh"

namespace folio::bench {

namespace {

std::vector<std::int32_t> same_lengths(std::int32_t sequences, std::int32_t tokens) {
  return std::vector<std::int32_t>(static_cast<std::size_t>(sequences), tokens);
}

/// A step over a filled cache whose rows come and go by arrays, of which there are as many as exceed the L2.
template <class Fill>
struct RowsStep {
  RowsStep(Run const& run, std::int32_t sequences, std::int32_t tokens, std::int32_t queries, cudaStream_t stream)
      : filled(run, same_lengths(sequences, tokens), stream), batch(filled.step(queries, 0, stream)) {
    std::int64_t const row = std::int64_t{Fill::shape.kv_heads} * Fill::shape.key_dim;
    for (std::uint32_t i = 0; i < 8; ++i) rows.emplace_back(sequences * tokens * row, i, stream);
  }
  [[nodiscard]] Half* keys(std::int32_t layer) const { return rows[static_cast<std::size_t>(layer) * 2 % 8].data(); }
  [[nodiscard]] Half* values(std::int32_t layer) const {
    return rows[(static_cast<std::size_t>(layer) * 2 + 1) % 8].data();
  }
  [[nodiscard]] double bytes() const {
    std::int64_t const row = std::int64_t{Fill::shape.kv_heads} * Fill::shape.key_dim;
    return static_cast<double>(filled.num_tokens * (2 * row * 2 + Fill::bytes_per_token));
  }
  Fill filled;
  DeviceBatch<typename Fill::View> batch;
  std::vector<Array<Half>> rows;
};

template <class Q, class Layout>
Candidate append_candidate(Run const& run, char const* layout, cudaStream_t stream) {
  std::int32_t const tokens = run.tiny ? 20 : 1024, sequences = run.tiny ? 1 : 8;
  auto const step = std::make_shared<RowsStep<Filled<BenchModel, Q, Layout>>>(run, sequences, tokens, tokens, stream);
  return {.name = std::string("gpu/append/") + Q::name + layout,
          .work =
              [step](cudaStream_t s) {
                for (std::int32_t layer = 0; layer < step->filled.layers; ++layer)
                  ops::append(step->batch.view(), layer, step->keys(layer), step->values(layer), s);
              },
          .repeats = step->filled.layers,
          .bytes = step->bytes(),
          .limit = Limit::copy};
}

template <class Q, class Layout>
Candidate gather_candidate(Run const& run, char const* layout, cudaStream_t stream) {
  std::int32_t const tokens = run.tiny ? 20 : 16384;
  auto const step = std::make_shared<RowsStep<Filled<BenchModel, Q, Layout>>>(run, 1, tokens, 1, stream);
  return {.name = std::string("gpu/gather/") + Q::name + layout,
          .work =
              [step, tokens](cudaStream_t s) {
                for (std::int32_t layer = 0; layer < step->filled.layers; ++layer)
                  ops::gather(step->batch.view(), layer, {0, 0, tokens}, step->keys(layer), step->values(layer), s);
              },
          .repeats = step->filled.layers,
          .bytes = step->bytes(),
          .limit = Limit::copy};
}

/// Formats side by side; the first is what the others' speed is told in.
template <class... Formats>
void measure_rows(Run const& run) {
  Stream const stream;
  std::vector<Candidate> appends, gathers;
  (appends.push_back(append_candidate<Formats, LayoutHnd>(run, "/hnd", stream)), ...);
  (gathers.push_back(gather_candidate<Formats, LayoutHnd>(run, "/hnd", stream)), ...);
#if defined(FOLIO_GPU_BENCH_ALL)
  (appends.push_back(append_candidate<Formats, LayoutNhd>(run, "/nhd", stream)), ...);
#endif
  for (std::vector<Candidate>* const all : {&appends, &gathers}) {
    for (std::size_t i = 1; i < all->size(); ++i) (*all)[i].ratio_to = all->front().name;
    measure_together(run, std::move(*all), stream);
  }
}

void measure_copies(Run const& run) {
  Stream const stream;
  int const tokens = run.tiny ? 64 : 16384, at_once = run.tiny ? 2 : 64;  // of tokens / 16 blocks
  auto const filled = std::make_shared<Filled<BenchModel, F16>>(run, std::vector<std::int32_t>{tokens}, stream);
  std::vector<std::vector<BlockCopy>> sets;
  for (int first = 0; first < tokens / 32; first += at_once) {
    std::vector<BlockCopy>& copies = sets.emplace_back();
    for (int i = 1; i <= at_once; ++i) copies.push_back({BlockId{first + i}, BlockId{tokens / 32 + first + i}});
  }
  Candidate copy{.name = "gpu/copy_blocks",
                 .work =
                     [filled, sets](cudaStream_t s) {
                       for (std::vector<BlockCopy> const& copies : sets)
                         ops::copy_blocks(filled->cache.pool(), filled->cache.pool(), filled->cache.block_bytes(),
                                          copies, s);
                     },
                 .repeats = static_cast<int>(sets.size()),
                 .bytes = 2.0 * at_once * static_cast<double>(filled->cache.block_bytes()),
                 .limit = Limit::copy};
  measure_together(run, {copy}, stream);
}

/// Pinned memory that goes with its owner.
class Pinned {
 public:
  explicit Pinned(std::int64_t bytes) : bytes_(bytes), data_(PinnedAllocator().allocate(bytes, 64)) {}
  Pinned(Pinned const&) = delete;
  Pinned& operator=(Pinned const&) = delete;
  ~Pinned() { PinnedAllocator().deallocate(data_, bytes_); }
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  std::int64_t bytes_;
  std::byte* data_;
};

/// Blocks that lie apart on the GPU, to or from the host. The limit is one large copy in the same direction.
void measure_swap(Run const& run, bool out) {
  Stream const stream;
  int const tokens = run.tiny ? 64 : 8192, num_blocks = run.tiny ? 2 : 64;
  Filled<BenchModel, F16> const filled(run, {tokens}, stream);
  std::int64_t const block_bytes = filled.cache.block_bytes(), bytes = num_blocks * block_bytes;
  Pinned const host((num_blocks + 1) * block_bytes);
  std::byte* const pool = filled.cache.pool();
  std::vector<BlockCopy> copies;
  for (int i = 1; i <= num_blocks; ++i) copies.push_back({BlockId{out ? 2 * i : i}, BlockId{out ? i : 2 * i}});
  Candidate const bus{.name = out ? "gpu/limit/to_host" : "gpu/limit/from_host",
                      .work =
                          [&](cudaStream_t s) {
                            check_cuda(cudaMemcpyAsync(out ? host.data() : pool, out ? pool : host.data(),
                                                       static_cast<std::size_t>(bytes), cudaMemcpyDefault, s),
                                       "copying");
                          },
                      .bytes = static_cast<double>(bytes)};
  Candidate const swap{.name = out ? "gpu/swap_out" : "gpu/swap_in",
                       .work =
                           [&](cudaStream_t s) {
                             if (out)
                               ops::swap_out(pool, host.data(), block_bytes, copies, s);
                             else
                               ops::swap_in(pool, host.data(), block_bytes, copies, s);
                           },
                       .bytes = static_cast<double>(bytes),
                       .limit = Limit::first,
                       .captured = false};  // batches of copies cannot be captured
  measure_together(run, {bus, swap}, stream);
}

/// The host's time for a step's tables: many sequences of `length` tokens in tables of `width`, one new token each.
void measure_upload(Run const& run, std::string const& name, std::int32_t length, std::int32_t width) {
  std::int32_t const count = run.tiny ? 4 : 256;
  Stream const stream;
  KvCache<BenchModel, BlockSize<16>, DeviceAllocator> cache({.num_blocks = {count * (length / 16 + 1)}, .layers = 1});
  DeviceBatch batch(cache, {count, count, width});
  std::vector<Sequence> sequences;
  for (int i = 0; i < count; ++i) sequences.push_back(cache.create(length - 1));
  std::vector<BatchItem> items;
  for (Sequence& sequence : sequences) {
    sequence.extend(1);
    items.emplace_back(&sequence);
  }
  std::vector<double> seconds;
  for (int i = 0; i < 10 * least_samples(run); ++i) {
    auto const begin = std::chrono::steady_clock::now();
    batch.upload(items, stream);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    stream.wait();  // so that none waits for the one before the last
  }
  double const median = quantile(seconds, 0.5);
  run.write(Line(name)
                .add("iterations", static_cast<std::int64_t>(seconds.size()))
                .add("real_time", median * 1e6)
                .add("time_unit", "us")
                .add("low_us", quantile(seconds, 0.1) * 1e6)
                .add("high_us", quantile(seconds, 0.9) * 1e6)
                .add("ns_per_block", median * 1e9 / (count * (length / 16))));
}

/// A prompt's attention in each format.
template <class Q>
Candidate prefill_candidate(Run const& run, cudaStream_t stream) {
  std::int32_t const tokens = run.tiny ? 9 : 2048;
  DecodeShape const shape{.name = "", .lengths = {tokens}, .queries = tokens};
  auto const step = std::make_shared<DecodeStep<Filled<BenchModel, Q>>>(run, shape, stream);
  int const layers = std::min(step->filled.layers, 2);
  return {.name = std::string("gpu/prefill/") + Q::name + "/hnd/2048",
          .work =
              [step, layers](cudaStream_t s) {
                for (std::int32_t layer = step->filled.layers - layers; layer < step->filled.layers; ++layer)
                  ops::prefill(step->batch.view(), layer,
                               AttentionIo{step->q.data(), step->shape.num_query_heads, step->out.data()}, {},
                               {.stream = s});
              },
          .repeats = layers,
          // Scores and weighted values, of half of all pairs: 4 * dim operations a pair.
          .flops = 2.0 * 128 * shape.num_query_heads * tokens * tokens,
          .error = [step] { return step->error(); },
          .tolerance = half_tolerance};
}

template <class... Formats>
void measure_prefill(Run const& run) {
  Stream const stream;
  std::vector<Candidate> candidates;
  (candidates.push_back(prefill_candidate<Formats>(run, stream)), ...);
  for (std::size_t i = 1; i < candidates.size(); ++i) candidates[i].ratio_to = candidates.front().name;
  measure_together(run, std::move(candidates), stream);
}

}  // namespace

void add_move_figures(std::vector<Job>& jobs) {
#if defined(FOLIO_GPU_BENCH_ALL)
  jobs.push_back({"gpu/rows", 60, true, measure_rows<F16, Int8PerToken, Int4Rotated, Fp8E4M3, BF16>});
#else
  jobs.push_back({"gpu/rows", 60, true, measure_rows<F16, Int8PerToken, Int4Rotated>});
#endif
  jobs.push_back({"gpu/copy_blocks", 30, true, measure_copies});
  jobs.push_back({"gpu/swap_out", 30, true, [](Run const& run) { measure_swap(run, true); }});
  jobs.push_back({"gpu/swap_in", 30, true, [](Run const& run) { measure_swap(run, false); }});
  jobs.push_back({"gpu/upload", 30, true, [](Run const& run) {
                    measure_upload(run, "gpu/upload", run.tiny ? 32 : 4096, run.tiny ? 32 : 4096);
                  }});
  jobs.push_back({"gpu/upload/width", 30, false,
                  [](Run const& run) { measure_upload(run, "gpu/upload/ctx:4096/width:131072", 4096, 131072); }});
}

void add_prefill_figures(std::vector<Job>& jobs) {
#if defined(FOLIO_GPU_BENCH_ALL)
  jobs.push_back({"gpu/prefill", 60, true, measure_prefill<F16, Int8PerToken, Int4Rotated, Fp8E4M3, BF16>});
#else
  jobs.push_back({"gpu/prefill", 60, true, measure_prefill<F16, Int4Rotated>});
#endif
}

}  // namespace folio::bench
