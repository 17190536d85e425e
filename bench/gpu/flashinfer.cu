// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Compiled only where FlashInfer's headers are given. Written for its commit fb28d72.
#include "flashinfer.cuh"

#include <cuda/cmath>
#include <folio/allocator/pinned.cuh>

#if !__has_include(<cuda/__cmath/fast_modulo_division.h>)
namespace cuda {

/// What FlashInfer divides by, in toolkits that do not have it yet: a multiplication instead (Granlund, Montgomery
/// 1994).
template <class>
class fast_mod_div {
 public:
  __host__ __device__ explicit fast_mod_div(std::uint32_t divisor) {
    std::uint32_t log = 0;
    while ((std::uint64_t{1} << log) < divisor) ++log;
    factor_ = static_cast<std::uint32_t>(((((std::uint64_t{1} << log) - divisor) << 32) / divisor) + 1);
    first_shift_ = log < 1 ? log : 1;
    second_shift_ = log > 1 ? log - 1 : 0;
  }
  __host__ __device__ friend std::uint32_t operator/(std::uint32_t n, fast_mod_div const& by) {
    auto const t = static_cast<std::uint32_t>((std::uint64_t{n} * by.factor_) >> 32);
    return (t + ((n - t) >> by.first_shift_)) >> by.second_shift_;
  }

 private:
  std::uint32_t factor_, first_shift_, second_shift_;
};

}  // namespace cuda
#endif

#include <flashinfer/attention/decode.cuh>
#include <flashinfer/attention/default_decode_params.cuh>
#include <flashinfer/attention/default_prefill_params.cuh>
#include <flashinfer/attention/prefill.cuh>
#include <flashinfer/attention/scheduler.cuh>
#include <flashinfer/attention/variants.cuh>

namespace folio::bench {

namespace {

namespace fi = flashinfer;

using Variant = fi::DefaultAttention<false, false, false, false>;
using DecodeParams = fi::BatchDecodeParams<half, half, half, std::int32_t>;
using PrefillParams = fi::BatchPrefillPagedParams<half, half, half, std::int32_t>;
constexpr auto no_rope = fi::PosEncodingMode::kNone;
constexpr std::uint32_t dim = 128;

/// What a plan and its kernels work in.
struct Workspace {
  Workspace() : pinned(PinnedAllocator().allocate(int_bytes, 64)) {}
  Workspace(Workspace const&) = delete;
  Workspace& operator=(Workspace const&) = delete;
  ~Workspace() { PinnedAllocator().deallocate(pinned, int_bytes); }

  template <class T>
  [[nodiscard]] T* ints_at(std::int64_t offset) const {
    return reinterpret_cast<T*>(ints.data() + offset);
  }
  template <class T>
  [[nodiscard]] T* floats_at(std::int64_t offset) const {
    return reinterpret_cast<T*>(floats.data() + offset);
  }

  static constexpr std::int64_t int_bytes = std::int64_t{16} << 20, float_bytes = std::int64_t{512} << 20;
  Array<std::byte> ints{int_bytes}, floats{float_bytes};
  std::byte* pinned;
};

/// The tables, on the host and on the GPU.
struct Tables {
  explicit Tables(PagedDriver const& cache) {
    for (std::size_t i = 0; i < cache.lengths.size(); ++i) {
      std::int32_t const length = cache.lengths[i], count = blocks_for(length, cache.block_size);
      starts.push_back(starts.back() + count);
      last.push_back(length - (count - 1) * cache.block_size);
      query_starts.push_back(static_cast<std::int32_t>(i) + 1);
    }
    device_starts = Array<std::int32_t>(starts);
    device_last = Array<std::int32_t>(last);
    device_query_starts = Array<std::int32_t>(query_starts);
    device_blocks = Array<std::int32_t>(cache.blocks);
  }
  std::vector<std::int32_t> starts{0}, last, query_starts{0};
  Array<std::int32_t> device_starts, device_last, device_query_starts, device_blocks;
};

struct State {
  explicit State(PagedDriver const& of) : cache(of), tables(of) {}

  [[nodiscard]] std::uint32_t num_sequences() const { return static_cast<std::uint32_t>(cache.lengths.size()); }
  [[nodiscard]] std::int64_t out_size() const { return std::int64_t{num_sequences()} * cache.num_query_heads * dim; }

  [[nodiscard]] fi::paged_kv_t<half, std::int32_t> layer(std::int32_t index) const {
    std::int64_t const strides[] = {cache.block_stride, cache.head_stride, cache.token_stride};
    return {static_cast<std::uint32_t>(cache.kv_heads),
            static_cast<std::uint32_t>(cache.block_size),
            dim,
            num_sequences(),
            fi::QKVLayout::kHND,
            reinterpret_cast<half*>(cache.keys + index * cache.layer_stride),
            reinterpret_cast<half*>(cache.values + index * cache.layer_stride),
            strides,
            tables.device_blocks.data(),
            tables.device_starts.data(),
            tables.device_last.data()};
  }
  [[nodiscard]] half* q() const { return reinterpret_cast<half*>(const_cast<Half*>(cache.q)); }

  PagedDriver cache;
  Tables tables;
  Workspace workspace;
};

/// Its CUDA-core kernel for decoding.
template <std::uint32_t GroupSize>
Peer decode_peer(std::shared_ptr<State> const& state, cudaStream_t stream) {
  PagedDriver const& cache = state->cache;
  auto const heads = static_cast<std::uint32_t>(cache.num_query_heads);
  fi::DecodePlanInfo plan;
  check_cuda(
      fi::DecodePlan<dim, no_rope, Variant, DecodeParams>(
          state->workspace.floats.data(), Workspace::float_bytes, state->workspace.ints.data(), state->workspace.pinned,
          Workspace::int_bytes, plan, state->tables.starts.data(), state->num_sequences(), heads,
          static_cast<std::uint32_t>(cache.block_size), false, stream,
          fi::BatchDecodeWithPagedKVCacheWorkEstimationDispatched<GroupSize, dim, no_rope, Variant, DecodeParams>),
      "FlashInfer's plan");
  auto const out = std::make_shared<Array<Half>>(state->out_size());
  auto const work = [state, plan, out, heads](cudaStream_t s) {
    Workspace const& w = state->workspace;
    for (std::int32_t layer = 0; layer < state->cache.layers; ++layer) {
      DecodeParams params(state->q(), nullptr, state->layer(layer), reinterpret_cast<half*>(out->data()), nullptr,
                          nullptr, heads, static_cast<std::int32_t>(heads * dim), dim, -1, 0, state->cache.scale, 1,
                          1e4F);
      params.padded_batch_size = static_cast<std::uint32_t>(plan.padded_batch_size);
      params.request_indices = w.ints_at<std::int32_t>(plan.request_indices_offset);
      params.kv_tile_indices = w.ints_at<std::int32_t>(plan.kv_tile_indices_offset);
      params.o_indptr = w.ints_at<std::int32_t>(plan.o_indptr_offset);
      params.kv_chunk_size_ptr = w.ints_at<std::int32_t>(plan.kv_chunk_size_ptr_offset);
      half* const parts = plan.split_kv ? w.floats_at<half>(plan.v_offset) : nullptr;
      float* const sums = plan.split_kv ? w.floats_at<float>(plan.s_offset) : nullptr;
      check_cuda((fi::BatchDecodeWithPagedKVCacheDispatched<dim, no_rope, Variant>(params, parts, sums, false, s)),
                 "FlashInfer's decoding");
    }
  };
  return {"flashinfer", work, out};
}

/// Its tensor-core kernel for prompts, which takes the query heads of a kv head as rows: what it decodes with from 4
/// heads on.
template <std::uint32_t TileQ>
Peer tensor_core_peer(std::shared_ptr<State> const& state, fi::PrefillPlanInfo const& plan) {
  auto const heads = static_cast<std::uint32_t>(state->cache.num_query_heads);
  auto const out = std::make_shared<Array<Half>>(state->out_size());
  auto const work = [state, plan, out, heads](cudaStream_t s) {
    Workspace const& w = state->workspace;
    for (std::int32_t layer = 0; layer < state->cache.layers; ++layer) {
      PrefillParams params(state->q(), state->layer(layer), nullptr, state->tables.device_query_starts.data(), nullptr,
                           nullptr, reinterpret_cast<half*>(out->data()), nullptr, nullptr, heads,
                           static_cast<std::int32_t>(heads * dim), dim, -1, 0, state->cache.scale, 1, 1e4F);
      params.request_indices = w.ints_at<std::int32_t>(plan.request_indices_offset);
      params.qo_tile_indices = w.ints_at<std::int32_t>(plan.qo_tile_indices_offset);
      params.kv_tile_indices = w.ints_at<std::int32_t>(plan.kv_tile_indices_offset);
      params.o_indptr = w.ints_at<std::int32_t>(plan.o_indptr_offset);
      params.kv_chunk_size_ptr = w.ints_at<std::int32_t>(plan.kv_chunk_size_ptr_offset);
      params.padded_batch_size = static_cast<std::uint32_t>(plan.padded_batch_size);
      params.max_total_num_rows = static_cast<std::uint32_t>(plan.total_num_rows);
      if (plan.split_kv) params.merge_indptr = w.ints_at<std::int32_t>(plan.merge_indptr_offset);
      half* const parts = plan.split_kv ? w.floats_at<half>(plan.v_offset) : nullptr;
      float* const sums = plan.split_kv ? w.floats_at<float>(plan.s_offset) : nullptr;
      check_cuda(
          (fi::BatchPrefillWithPagedKVCacheDispatched<TileQ, dim, dim, no_rope, false, fi::MaskMode::kNone, Variant>(
              params, parts, sums, false, s)),
          "FlashInfer's decoding by tensor cores");
    }
  };
  return {"flashinfer_tensor_cores", work, out};
}

fi::PrefillPlanInfo plan_tensor_cores(State& state, cudaStream_t stream) {
  PagedDriver const& cache = state.cache;
  fi::PrefillPlanInfo plan;
  check_cuda(fi::PrefillPlan<std::int32_t>(
                 state.workspace.floats.data(), Workspace::float_bytes, state.workspace.ints.data(),
                 state.workspace.pinned, Workspace::int_bytes, plan, state.tables.query_starts.data(),
                 state.tables.starts.data(), state.num_sequences(), state.num_sequences(),
                 static_cast<std::uint32_t>(cache.num_query_heads), static_cast<std::uint32_t>(cache.kv_heads), dim,
                 dim, static_cast<std::uint32_t>(cache.block_size), false, 2, -1, -1, false, 0, 0, stream),
             "FlashInfer's plan");
  return plan;
}

}  // namespace

std::vector<Peer> flashinfer_peers(PagedDriver const& cache, cudaStream_t stream) {
  std::vector<Peer> peers;
  std::int32_t const group_size = cache.num_query_heads / cache.kv_heads;
  auto const decode = std::make_shared<State>(cache), tensor_cores = std::make_shared<State>(cache);
  if (group_size == 1) peers.push_back(decode_peer<1>(decode, stream));
  if (group_size == 4) peers.push_back(decode_peer<4>(decode, stream));
  if (group_size == 8) peers.push_back(decode_peer<8>(decode, stream));
  fi::PrefillPlanInfo const plan = plan_tensor_cores(*tensor_cores, stream);
  if (plan.cta_tile_q == 16) peers.push_back(tensor_core_peer<16>(tensor_cores, plan));
  return peers;
}

}  // namespace folio::bench
