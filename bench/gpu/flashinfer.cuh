// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// FlashInfer's decode kernels over a pool of Folio's, beside Folio's own: the same blocks, the same queries, no copy.
// Where its headers are not given (FOLIO_FLASHINFER_INCLUDE_DIR), nobody has it.

#include "decode.cuh"

namespace folio::bench {

/// A filled cache as FlashInfer sees it. Strides in elements.
struct PagedDriver {
  Half *keys = nullptr, *values = nullptr;  ///< of block 0, in layer 0
  std::int64_t layer_stride = 0, block_stride = 0, head_stride = 0, token_stride = 0;
  std::int32_t kv_heads = 0, num_query_heads = 0, block_size = 0, layers = 0;
  std::vector<std::int32_t> blocks, lengths;  ///< the blocks of the sequences one after another
  Half const* q = nullptr;                    ///< [sequences][query heads][128]
  float scale = 1;
};

/// What one of FlashInfer's kernels does: attention of all layers into `out`, which goes with it.
struct Peer {
  std::string name;
  std::function<void(cudaStream_t)> work;
  std::shared_ptr<Array<Half>> out;
};

#if defined(FOLIO_WITH_FLASHINFER)
[[nodiscard]] std::vector<Peer> flashinfer_peers(PagedDriver const& cache, cudaStream_t stream);

template <class M, class Q, class Layout>
inline constexpr bool has_flashinfer =
    std::is_same_v<M, BenchModel>&& std::is_same_v<Q, F16>&& std::is_same_v<Layout, LayoutHnd>;
#else
template <class M, class Q, class Layout>
inline constexpr bool has_flashinfer = false;
#endif

/// The pool of a step with one query token for each sequence.
template <class Step>
PagedDriver paged_driver(Step const& step) {
  using View = std::remove_cvref_t<decltype(step.batch.view())>;
  View const view = step.batch.view();
  auto const at = [&](auto plane, std::int32_t layer, int block, std::int32_t head, std::int32_t slot) {
    LayerView<typename decltype(step.filled.cache)::View, 0> const of(view.group(0), layer);
    if constexpr (plane == Plane::key)
      return reinterpret_cast<Half*>(of.key(BlockId{block}, head, slot).codes(0));
    else
      return reinterpret_cast<Half*>(of.value(BlockId{block}, head, slot).codes(0));
  };
  std::integral_constant<Plane, Plane::key> const key;
  PagedDriver paged;
  paged.keys = at(key, 0, 0, 0, 0);
  paged.values = at(std::integral_constant<Plane, Plane::value>(), 0, 0, 0, 0);
  paged.layer_stride = step.filled.layers > 1 ? at(key, 1, 0, 0, 0) - paged.keys : 0;
  paged.block_stride = at(key, 0, 1, 0, 0) - paged.keys;
  paged.head_stride = at(key, 0, 0, 1, 0) - paged.keys;
  paged.token_stride = at(key, 0, 0, 0, 1) - paged.keys;
  paged.kv_heads = view.group(0).shape.kv_heads;
  paged.num_query_heads = step.shape.num_query_heads;
  paged.block_size = view.group(0).shape.block_size;
  paged.layers = step.filled.layers;
  for (Sequence const& sequence : step.filled.sequences) {
    paged.lengths.push_back(sequence.num_tokens());
    for (BlockId const block : sequence.blocks(0)) paged.blocks.push_back(to_int(block));
  }
  paged.q = step.q.data();
  paged.scale = step.scale();
  return paged;
}

#if defined(FOLIO_WITH_FLASHINFER)
/// Candidates with the same queries as `step`'s; their results are compared with its own.
template <class Step, class Name>
std::vector<Candidate> flashinfer_candidates(std::shared_ptr<Step> const& step, Name const& name) {
  std::vector<Candidate> candidates;
  if (step->shape.queries > 1) return candidates;
  for (Peer const& peer : flashinfer_peers(paged_driver(*step), step->stream)) {
    auto const rows = static_cast<std::int64_t>(step->shape.lengths.size()) * step->shape.num_query_heads * 128;
    candidates.push_back({.name = name(peer.name),
                          .work = peer.work,
                          .repeats = step->filled.layers,
                          .bytes = step->bytes(),
                          .limit = Limit::read,
                          .ratio_to = name("f16"),
                          .error =
                              [step, peer, rows] {
                                return difference(to_floats(step->out.to_host(step->stream, 0, rows)),
                                                  to_floats(peer.out->to_host(step->stream, 0, rows)));
                              },
                          .tolerance = half_tolerance});
  }
  return candidates;
}
#endif

}  // namespace folio::bench
