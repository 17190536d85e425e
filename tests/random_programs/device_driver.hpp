// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs whose blocks are in device memory. Every step is uploaded on one of two streams, its tokens are
// written by the append kernel and read by the gather kernel, and nobody waits: what was read is compared some steps
// later with what was right when it was asked for.

#include "support/cuda_support.hpp"
//
#include <cstring>
#include <deque>
#include <folio/allocator/pinned.cuh>
#include <folio/device_batch.cuh>
#include <folio/ops/append.cuh>
#include <folio/ops/compact.cuh>
#include <folio/ops/decode.cuh>
#include <folio/ops/gather.cuh>
#include <folio/ops/swap.cuh>
#include <folio/precision/demote.cuh>
#include <folio/precision/mixed_ops.cuh>
#include <map>
#include <memory>

#include "random_programs/driver.hpp"
#include "support/layer_types.hpp"
#include "support/sanitizers.hpp"

namespace folio::test {

/// Pinned memory that is handed out from its beginning on, until all of it is free again.
class PinnedArena {
 public:
  explicit PinnedArena(std::size_t num_floats)
      : bytes_(static_cast<std::int64_t>(num_floats * sizeof(float))), size_(num_floats) {
    memory_ = reinterpret_cast<float*>(allocator_.allocate(bytes_, 64));
  }
  PinnedArena(PinnedArena const&) = delete;
  PinnedArena& operator=(PinnedArena const&) = delete;
  ~PinnedArena() { allocator_.deallocate(reinterpret_cast<std::byte*>(memory_), bytes_); }

  [[nodiscard]] bool has(std::size_t num_floats) const { return used_ + num_floats <= size_; }
  float* take(std::size_t num_floats) {
    expect(has(num_floats), "the test's own memory is full");
    return memory_ + std::exchange(used_, used_ + num_floats);
  }
  float* take(std::vector<float> const& values) {
    float* const memory = take(values.size());
    std::copy(values.begin(), values.end(), memory);
    return memory;
  }
  void take_all_back() {
    std::fill_n(memory_, used_, -77.0F);  // what still reads it is found out
    used_ = 0;
  }

 private:
  folio::PinnedAllocator allocator_;
  std::int64_t bytes_;
  std::size_t size_, used_ = 0;
  float* memory_ = nullptr;
};

template <class Quantizers, class Layout, class Allocator>
class DeviceDriver {
 public:
  using Cache = ProgramCache<Layout, Allocator, Quantizers>;
  using View = typename Cache::View;
  using FirstView = decltype(first_lists(std::declval<View const&>()));

  /// `seed` says which step runs on which stream, which are read, and when the host waits.
  DeviceDriver(std::vector<std::int64_t> const& num_blocks, Allocator allocator, std::uint64_t seed)
      : cache_(program_config<Cache>(num_blocks), std::move(allocator)),
        batch_(cache_, {.num_sequences = 6, .num_query_tokens = 24, .num_tokens = 400, .has_limits = seed % 2 == 0}),
        random_(seed) {
    cache_.moves().reserve_out(10'000);
  }
  DeviceDriver(DeviceDriver const&) = delete;
  DeviceDriver& operator=(DeviceDriver const&) = delete;
  ~DeviceDriver() {
    cudaDeviceSynchronize();
    for (Host const& host : hosts_)
      for (auto const& [memory, bytes] : host.blocks) folio::PinnedAllocator().deallocate(memory, bytes);
  }

  Cache& cache() { return cache_; }
  [[nodiscard]] std::deque<HeldBlocks> const& held() const { return held_; }

  void write(std::vector<folio::BatchItem> const& items, std::map<std::int32_t, ProgramInput> const& inputs) {
    if (!arena_.has(16384)) settle();
    begin_step(items);
    for (auto const& [layer, in] : inputs)
      folio::ops::append(batch_.view(), layer, arena_.take(in.keys),
                         in.values.empty() ? nullptr : arena_.take(in.values), stream_);
  }

  bool look(std::vector<folio::BatchItem> const& items) {
    if (draw(Cache::has_prefixes ? 6 : 3) != 0) return false;  // programs with prefixes are longer
    if (draw(4) == 0 || !arena_.has(std::size_t{1} << 18)) settle();
    begin_step(items);
    if (items.size() < 6) read_padding();
    return true;
  }

  void read(std::size_t i, std::int32_t layer, std::int32_t first, std::int32_t n, ReferenceSequence const& reference) {
    gather(folio::DeviceView(first_lists(static_cast<View const&>(batch_.view()))), layer,
           {i, layer, first, {reference.begin() + first, reference.begin() + first + n}});
  }

  /// Tokens of both lists, which the reference has in the model's basis.
  void read_both(std::size_t i, std::int32_t layer, ReferenceSequence const& reference) {
    gather(batch_.view(), layer, {i, layer, 0, reference, true});
  }

  std::int64_t demote(folio::Sequence& sequence, std::int32_t num_accepted) {
    end_step();
    stream_ = streams_[draw(2)];
    return folio::ops::demote(cache_, {{&sequence, num_accepted}}, batch_, stream_);
  }

  /// In one format, whose kernels are compiled soon enough, and in half of the programs.
  void ask(std::vector<folio::BatchItem> const& items, AskedAttention const& asked) {
    if constexpr (std::is_same_v<typename Cache::KeyQuantizer, folio::F32>) {
      if (!batch_.size().has_limits) return;
      std::vector<float> q = asked.q;
      q.resize((q.size() + 3) / 4 * 4);  // what comes after it begins at a multiple of 16 bytes
      std::size_t const num_out = asked.wanted.out.size(), num_lse = (asked.wanted.lse.size() + 3) / 4 * 4;
      if (!arena_.has(q.size() + num_out + num_lse)) settle();
      begin_step(items);
      float *const out = arena_.take(num_out), *const lse = arena_.take(num_lse);
      folio::ops::decode(batch_.view(), asked.layer, folio::AttentionIo<float>{arena_.take(q), asked_heads, out, lse},
                         {.scale = AskedAttention::scale}, {.stream = stream_, .num_parts = 1});
      asked_.push_back({asked.wanted, out, lse});
    }
  }

  void settle() {
    end_step();
    wait_for_device();
    for (Read const& read : reads_) compare(read);
    for (Asked const& one : asked_) {
      std::string const what = difference(one.wanted, {one.out, one.out + one.wanted.out.size()},
                                          {one.lse, one.lse + one.wanted.lse.size()});
      expect(what.empty(), "attention: " + what);
    }
    asked_.clear();
    for (std::span<float const> const padding : paddings_)
      for (float const x : padding) expect(x == 0, "the last row of a step that is not full is not padding");
    reads_.clear();
    paddings_.clear();
    forbidden_.clear();
    arena_.take_all_back();
    expect(hold_.release_done() == 0, "blocks are held although the device has done everything");
    held_.clear();
  }

  /// Moves the tokens `kept` of those that group `group` stores of a sequence to its front.
  void compact(folio::Sequence const& sequence, int group, std::vector<std::int32_t> const& kept) {
    std::vector<std::int32_t> numbers(6);  // a count for each row of the step; none for padding
    numbers[0] = static_cast<std::int32_t>(kept.size());
    numbers.insert(numbers.end(), kept.begin(), kept.end());
    numbers.resize((numbers.size() + 3) / 4 * 4);  // what comes after it begins at a multiple of 16 bytes
    if (!arena_.has(numbers.size())) settle();
    begin_step({{&sequence, 0}});
    static_assert(sizeof(float) == sizeof(std::int32_t));
    float* const memory = arena_.take(numbers.size());
    std::memcpy(memory, numbers.data(), numbers.size() * sizeof(float));
    auto const* const lists = reinterpret_cast<std::int32_t const*>(memory);
    std::int32_t const sinks = sequence.store()->demotion().sinks_of(group);  // which stay where they are
    folio::ops::compact(
        batch_, group,
        {.tokens = lists + 6, .counts = lists, .k = numbers[0], .num_first = std::min(sinks, numbers[0])}, stream_);
  }

  void before_resize() {
    begin_step({});  // copies that are due
    settle();
  }

  /// Copies a sequence's blocks to pinned memory: the next upload does; or on a stream of its own, and holds them until
  /// that is done.
  int swap_out(folio::Sequence const& sequence) {
    bool const by_upload = draw(2) == 0;
    if (!by_upload) {
      begin_step({});  // copies that are due
      end_step();
      order(stream_, swaps_);
    }
    Host host;
    HeldBlocks held{{}, sequence.num_tokens()};
    for (int g = 0; g < Cache::num_groups; ++g) {
      auto const blocks = sequence.blocks(g);
      held.blocks.emplace_back(blocks.begin(), blocks.end());
      std::int64_t const bytes = (static_cast<std::int64_t>(blocks.size()) + 1) * cache_.block_bytes(g);
      std::byte* const memory = folio::PinnedAllocator().allocate(bytes, 64);
      host.blocks.emplace_back(memory, bytes);
      auto const all = copies(blocks, true);
      if (!by_upload) folio::ops::swap_out(cache_.pool(g), memory, cache_.block_bytes(g), all, swaps_);
      for (std::size_t i = 0; i < all.size() && by_upload; ++i)
        expect(cache_.moves().move_out(g, all[i].from, memory + to_int(all[i].to) * cache_.block_bytes(g)) ==
                   cache_.moves().issued() + 1,
               "a move out is not of the next tick");
    }
    if (!by_upload) {
      hold_.hold(sequence, swaps_);
      held_.push_back(std::move(held));
    }
    hosts_.push_back(std::move(host));
    return static_cast<int>(hosts_.size() - 1);
  }

  /// Copies them into the blocks of a new sequence. The next step comes after that.
  void swap_in(int host, folio::Sequence const& sequence) {
    begin_step({});  // copies into these blocks, for a sequence that had them before, may be due
    end_step();
    order(stream_, swaps_);
    for (int g = 0; g < Cache::num_groups; ++g)
      folio::ops::swap_in(cache_.pool(g),
                          hosts_[static_cast<std::size_t>(host)].blocks[static_cast<std::size_t>(g)].first,
                          cache_.block_bytes(g), copies(sequence.blocks(g), false), swaps_);
    swapped_in_ = true;
  }

 private:
  struct Read {
    std::size_t i;
    std::int32_t layer, first;
    ReferenceSequence wanted;
    bool in_model_basis = false;  // else as the first list stores it
    float *keys = nullptr, *values = nullptr;
  };
  struct Asked {
    NaiveAttention wanted;
    float const *out, *lse;
  };
  struct Host {
    std::vector<std::pair<std::byte*, std::int64_t>> blocks;  // by group: block b is the sequence's b-th, from 1
  };
  using Ranges = std::vector<std::pair<std::byte*, std::size_t>>;

  template <class AnyView>
  void gather(AnyView const& view, std::int32_t layer, Read read) {
    folio::GroupShape const& shape = cache_.shape(program_model.pattern.place(layer).group);
    auto const n = static_cast<std::int32_t>(read.wanted.size());
    auto const rows = static_cast<std::size_t>(n * shape.kv_heads);
    read.keys = arena_.take(rows * static_cast<std::size_t>(shape.key_dim));
    read.values = arena_.take(rows * static_cast<std::size_t>(shape.value_dim));
    folio::ops::gather(view, layer, {static_cast<std::int32_t>(read.i), read.first, n}, read.keys, read.values,
                       stream_);
    reads_.push_back(std::move(read));
  }

  std::uint64_t draw(std::uint64_t n) {
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    return (random_ >> 33) % n;
  }

  static std::vector<folio::BlockCopy> copies(std::span<folio::BlockId const> blocks, bool out) {
    std::vector<folio::BlockCopy> all;
    for (folio::BlockId const block : blocks) {
      folio::BlockId const host{static_cast<std::int32_t>(all.size()) + 1};
      all.push_back(out ? folio::BlockCopy{block, host} : folio::BlockCopy{host, block});
    }
    return all;
  }

  void order(cudaStream_t first, cudaStream_t then) {
    event_.record(first);
    event_.make_wait(then);
  }

  void begin_step(std::vector<folio::BatchItem> const& items) {
    end_step();
    std::int64_t const num_held = hold_.release_done();
    while (static_cast<std::int64_t>(held_.size()) > num_held) held_.pop_front();
    stream_ = streams_[draw(2)];
    if (std::exchange(swapped_in_, false)) order(swaps_, stream_);  // before copies on write of what comes in
    batch_.upload(items, stream_);
    if (simt::checks_memory() || address_sanitizer) forbid_all_but(items);
  }

  /// Kernels of this step may touch the blocks of its own sequences, and copies those that are held.
  void forbid_all_but(std::vector<folio::BatchItem> const& items) {
    Ranges& ranges = forbidden_.emplace_back();
    for (int l = 0; l < Cache::num_lists; ++l) {
      std::vector<bool> named(static_cast<std::size_t>(cache_.num_blocks(l)) + 1);
      for (folio::BatchItem const& item : items)
        for (folio::BlockId const block : item.sequence->state().lists[l].blocks)
          named[static_cast<std::size_t>(to_int(block))] = true;
      for (HeldBlocks const& held : held_)
        for (folio::BlockId const block : held.blocks[static_cast<std::size_t>(l)])
          named[static_cast<std::size_t>(to_int(block))] = true;
      for (std::size_t block = 1; block < named.size(); ++block)
        if (!named[block])
          ranges.emplace_back(cache_.pool(l) + static_cast<std::int64_t>(block) * cache_.block_bytes(l),
                              static_cast<std::size_t>(cache_.block_bytes(l)));
    }
    auto const forbid = [](void* list) {
      for (auto const& [memory, bytes] : *static_cast<Ranges*>(list)) simt::forbid(memory, bytes);
    };
    folio::check_cuda(cudaLaunchHostFunc(stream_, forbid, &ranges), "a host function");
    is_forbidden_ = true;
  }

  void end_step() {
    if (!std::exchange(is_forbidden_, false)) return;
    auto const allow = [](void* list) {
      for (auto const& [memory, bytes] : *static_cast<Ranges*>(list)) simt::allow(memory, bytes);
    };
    folio::check_cuda(cudaLaunchHostFunc(stream_, allow, &forbidden_.back()), "a host function");
  }

  /// The last row has null blocks, which hold zeros, whatever it had in an earlier step.
  void read_padding() {
    auto const layer = static_cast<std::int32_t>(draw(program_model.layers));
    folio::GroupShape const& shape = cache_.shape(program_model.pattern.place(layer).group);
    auto const n = static_cast<std::size_t>(4 * shape.kv_heads * shape.key_dim);
    float* const keys = arena_.take(n);
    folio::ops::gather(batch_.view(), layer, {5, 0, 4}, keys, nullptr, stream_);
    paddings_.push_back({keys, n});
  }

  void compare(Read const& read) const {
    int const group = program_model.pattern.place(read.layer).group;
    folio::GroupShape const& shape = cache_.shape(group);
    folio::Basis key_basis = folio::Basis::model, value_basis = folio::Basis::model;
    if (!read.in_model_basis)
      with_layer_type<FirstView>(group, [&]<class Layer>() {
        key_basis = Layer::KeyQuantizer::basis;
        value_basis = Layer::ValueQuantizer::basis;
      });
    float const *keys = read.keys, *values = read.values;
    for (std::size_t t = 0; t < read.wanted.size(); ++t) {
      LayerRows const& rows = (*read.wanted[t])[static_cast<std::size_t>(read.layer)];
      std::int32_t const token = read.first + static_cast<std::int32_t>(t);
      for (std::int32_t head = 0; head < shape.kv_heads; ++head, keys += shape.key_dim, values += shape.value_dim) {
        float wanted[64];  // gather turns what is stored to the model's basis
        std::copy_n(rows.keys.data() + head * shape.key_dim, shape.key_dim, wanted);
        folio::change_basis(key_basis, wanted, shape.key_dim, shape.key_dim);
        expect_row(keys, wanted, shape.key_dim, read.i, read.layer, token);
        std::copy_n(shape.values_in_keys() ? rows.keys.data() : rows.values.data() + head * shape.value_dim,
                    shape.value_dim, wanted);
        folio::ops::change_value_basis(value_basis, shape, wanted);
        expect_row(values, wanted, shape.value_dim, read.i, read.layer, token);
      }
    }
  }

  Cache cache_;
  CudaStream streams_[2], swaps_;
  cudaStream_t stream_ = nullptr;  // of the last step
  PinnedArena arena_{std::size_t{1} << 19};
  folio::DeviceBatch<View> batch_;
  folio::CudaEvent event_;
  std::uint64_t random_;
  std::deque<Read> reads_;
  std::deque<Asked> asked_;
  std::vector<std::span<float const>> paddings_;
  std::deque<Ranges> forbidden_;
  bool is_forbidden_ = false, swapped_in_ = false;
  std::vector<Host> hosts_;
  std::deque<HeldBlocks> held_;  // what hold_ holds
  folio::BlockHold hold_;
};

}  // namespace folio::test
