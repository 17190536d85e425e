// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Decoding: the formats side by side on the same lengths, and FlashInfer's kernels over the same pool where they are.
#include "decode.cuh"
#include "flashinfer.cuh"

namespace folio::bench {

namespace {

/// Adds attention in format Q to the candidates; its speed is told in that of F16, the first of them.
template <class M, class Q, class Layout>
void add_format(Run const& run, DecodeShape const& shape, char const* layout, cudaStream_t stream,
                std::vector<Candidate>& candidates) {
  using Step = DecodeStep<Filled<M, Q, Layout>>;
  auto const name = [&](std::string const& format) { return "gpu/decode/" + format + layout + shape.name; };
  auto const step = std::make_shared<Step>(run, shape, stream);
  candidates.push_back(attend_candidate(name(Q::name), step));
  if (candidates.size() > 1) candidates.back().ratio_to = candidates.front().name;
  if constexpr (has_flashinfer<M, Q, Layout>)
    for (Candidate& peer : flashinfer_candidates(step, name)) candidates.push_back(std::move(peer));
}

/// A job that measures the formats, F16 first, on one shape.
template <class M, class Layout, class... Formats>
void add_job(std::vector<Job>& jobs, DecodeShape shape, char const* layout) {
  bool const in_tiny = shape.in_tiny;
  jobs.push_back({"gpu/decode" + shape.name + layout, 60, in_tiny, [shape, layout](Run const& run) {
                    Stream const stream;
                    std::vector<Candidate> candidates;
                    (add_format<M, Formats, Layout>(run, shape.scaled(run), layout, stream, candidates), ...);
                    measure_together(run, std::move(candidates), stream);
                  }});
}

/// All formats that this program has been compiled with.
template <class M, class Layout>
void add_all_formats(std::vector<Job>& jobs, DecodeShape const& shape, char const* layout) {
#if defined(FOLIO_GPU_BENCH_ALL)
  add_job<M, Layout, F16, Int8PerToken, Int4Rotated, Fp8E4M3, BF16, Int2Rotated>(jobs, shape, layout);
#else
  add_job<M, Layout, F16, Int8PerToken, Int4Rotated>(jobs, shape, layout);
#endif
}

DecodeShape even(std::int32_t sequences, std::int32_t tokens) {
  return {.name = "/sequences:" + std::to_string(sequences) + "/ctx:" + std::to_string(tokens),
          .lengths = std::vector<std::int32_t>(static_cast<std::size_t>(sequences), tokens)};
}

/// The same with other query heads for each of the 8 kv heads than 4.
DecodeShape with_gqa(DecodeShape shape, std::int32_t heads, std::int32_t kv_heads = 8) {
  shape.name += "/gqa:" + std::to_string(heads);
  shape.num_query_heads = heads * kv_heads;
  shape.in_tiny = false;
  return shape;
}

DecodeShape with_queries(DecodeShape shape, std::int32_t queries) {
  shape.name += "/queries:" + std::to_string(queries);
  shape.queries = queries;
  return shape;
}

DecodeShape in_tiny(DecodeShape shape) {
  shape.in_tiny = true;
  return shape;
}

/// One long sequence among many short ones.
DecodeShape uneven() {
  DecodeShape shape{.name = "/uneven", .lengths = std::vector<std::int32_t>(64, 1024)};
  shape.lengths[0] = 131072;
  return shape;
}

/// A few sequences in tables for many, as in a captured graph that serves every number of requests.
DecodeShape partly_filled() {
  DecodeShape shape = even(4, 32768);
  shape.name += "/of:256";
  shape.padded_sequences = 256;
  return shape;
}

}  // namespace

void add_decode_figures(std::vector<Job>& jobs) {
  std::vector<DecodeShape> const shapes = {in_tiny(even(64, 8192)), even(1, 16384), even(256, 1024), even(16, 2048)};
  for (DecodeShape const& shape : shapes) add_all_formats<BenchModel, LayoutHnd>(jobs, shape, "/hnd");
  for (DecodeShape const& shape : shapes) add_all_formats<BenchModel, LayoutHnd>(jobs, with_gqa(shape, 8), "/hnd");
  for (DecodeShape const& shape : {uneven(), in_tiny(partly_filled()), even(1, 131072)})
    add_all_formats<BenchModel, LayoutHnd>(jobs, shape, "/hnd");
}

void add_shape_figures(std::vector<Job>& jobs) {
  for (std::int32_t const queries : {4, 8})
    add_all_formats<BenchModel, LayoutHnd>(jobs, with_queries(even(1, 16384), queries), "/hnd");
  for (std::int32_t const heads : {1, 16})
    add_all_formats<BenchModel, LayoutHnd>(jobs, with_gqa(even(64, 8192), heads), "/hnd");
#if defined(FOLIO_GPU_BENCH_ALL)
  DecodeShape latent_shape = with_gqa(even(64, 4096), 128, 1);
  latent_shape.name = "/latent" + latent_shape.name;
  add_job<Model<ModelConfig{.kv_heads = 1, .head_dim = 576, .groups = {latent(512, 64)}}>, LayoutHnd, BF16,
          Int8PerToken>(jobs, latent_shape, "/hnd");
  for (DecodeShape const& shape : {even(64, 8192), even(1, 16384), even(256, 1024), even(16, 2048)})
    add_all_formats<BenchModel, LayoutNhd>(jobs, shape, "/nhd");
  DecodeShape narrow = even(64, 8192), wide = even(64, 8192);
  narrow.name = "/d:64" + narrow.name;
  wide.name = "/d:256" + wide.name;
  add_job<Model<ModelConfig{.kv_heads = 8, .head_dim = 64}>, LayoutHnd, F16, Int8PerToken, Int4Rotated>(jobs, narrow,
                                                                                                        "/hnd");
  add_job<Model<ModelConfig{.kv_heads = 8, .head_dim = 256}>, LayoutHnd, F16, Int8PerToken, Int4Rotated>(jobs, wide,
                                                                                                         "/hnd");
#endif
}

}  // namespace folio::bench
