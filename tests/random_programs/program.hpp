// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs of sequence operations, run on the paged cache and on the flat one side by side.

#include <algorithm>
#include <cstring>
#include <folio/folio.hpp>
#include <map>
#include <ostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "support/reference_cache.hpp"

namespace folio_test {

/// One step. Numbers are taken modulo what exists, so every program is valid and shrinking keeps it so.
struct Operation {
  enum Kind { create, append, append_to_all, fork, truncate, release, bad, num_kinds };
  Kind kind = create;
  std::uint32_t which = 0;   // sequence
  std::uint32_t amount = 0;  // tokens
};

inline std::ostream& operator<<(std::ostream& out, Operation const& op) {
  constexpr char const* names[] = {"create", "append", "append_to_all", "fork", "truncate", "release", "bad"};
  return out << names[op.kind] << "(which " << op.which << ", amount " << op.amount << ")";
}

/// Every kind of layer group at once, each with a block size of its own and small enough that every edge is met often:
/// full attention, a window with sinks that divides no block, and a latent.
inline constexpr folio::ModelConfig program_model{
    .layers = 4,
    .kv_heads = 2,
    .head_dim = 16,
    .value_head_dim = 8,
    .groups = {folio::full_attention(), folio::sliding_window(6, 2), folio::latent(16, 8)},
    .pattern = folio::repeat_groups({0, 1, 2, 1})};

/// Runs a program and throws std::logic_error with what differed, if anything does.
template <class Quantizers, class Layout>
class ProgramRun {
  template <class... Q>
  struct CacheOf;
  template <class... Q>
  struct CacheOf<std::tuple<Q...>> {
    using type = folio::KvCache<folio::Model<program_model>, folio::BlockSizes<4, 3, 2>, Layout, Q...>;
  };

 public:
  using Cache = typename CacheOf<Quantizers>::type;

  explicit ProgramRun(std::vector<std::int64_t> const& num_blocks) : cache_({.num_blocks = num_blocks}) {
    // Unwritten bytes are NaN in every float format: whoever reads them is found out.
    for (int g = 0; g < Cache::num_groups; ++g)
      std::memset(cache_.pool(g) + cache_.block_bytes(g), 0xFF,
                  static_cast<std::size_t>(cache_.num_blocks(g) * cache_.block_bytes(g)));
  }

  void run(std::vector<Operation> const& program) {
    for (Operation const& op : program) {
      step(op);
      check_contents();
      check_accounting();
    }
    sequences_.clear();
    references_.clear();
    check_accounting();
    for (int g = 0; g < Cache::num_groups; ++g)
      expect(cache_.num_free_blocks(g) == cache_.num_blocks(g), "blocks leaked");
  }

 private:
  static void expect(bool ok, std::string const& what) {
    if (!ok) throw std::logic_error(what);
  }

  void step(Operation const& op) {
    if (op.kind == Operation::create || sequences_.empty()) {
      if (sequences_.size() >= 6) return;
      sequences_.push_back(cache_.create());
      references_.emplace_back();
      return;
    }
    std::size_t const i = op.which % sequences_.size();
    switch (op.kind) {
      case Operation::append:  // half of them short, as decoding is: they meet every edge of a window
        return append({i}, static_cast<std::int32_t>(op.amount % 2 == 0 ? op.amount / 2 % 4 : op.amount / 2 % 14));
      case Operation::append_to_all:
        return append_to_all(1 + static_cast<std::int32_t>(op.amount % 3));
      case Operation::fork:
        return fork(i);
      case Operation::truncate:
        return truncate(i, op.amount);
      case Operation::release:
        return release(i);
      case Operation::bad:
        return bad(i, op.amount);
      default:
        return;
    }
  }

  /// Takes slots for n tokens; false, with nothing changed, when the pools are too small.
  bool take_slots(std::size_t i, std::int32_t n) {
    folio::Sequence& s = sequences_[i];
    auto const before = block_lists(s);
    std::int32_t const length = s.num_tokens();
    bool const fits = has_blocks_for(i, n);
    try {
      s.append(n);
      expect(fits, "append found blocks that are not there");
    } catch (folio::OutOfBlocks const& full) {
      expect(!fits, "append refused although every group has enough blocks");
      expect(full.asked() > full.free(), "OutOfBlocks although enough were free");
      expect(full.free() == cache_.num_free_blocks(full.group()), "OutOfBlocks reports a wrong number of free blocks");
      expect(s.num_tokens() == length && block_lists(s) == before, "a failed append changed the sequence");
      return false;
    }
    expect(s.num_tokens() == length + n, "append gave a wrong length");
    return true;
  }

  /// Whether n more tokens fit, counted by hand: blocks that only this sequence holds and no new token sees come back.
  bool has_blocks_for(std::size_t i, std::int32_t n) const {
    folio::Sequence const& s = sequences_[i];
    if (n == 0) return true;
    for (int g = 0; g < Cache::num_groups; ++g) {
      folio::GroupShape const& shape = cache_.shape(g);
      auto const blocks = s.blocks(g);
      std::int64_t free = cache_.num_free_blocks(g);
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        bool seen = false;  // a window group gives a block back when no new token sees any of its tokens
        for (std::int32_t slot = 0; slot < shape.block_size; ++slot)
          for (std::int32_t position = s.num_tokens(); position < s.num_tokens() + n; ++position)
            seen |= shape.visible(position, static_cast<std::int32_t>(b) * shape.block_size + slot);
        bool const ends_before = (static_cast<std::int32_t>(b) + 1) * shape.block_size <= s.num_tokens();
        if (blocks[b] != folio::null_block && !seen && ends_before && holders(blocks[b], g) == 1) ++free;
      }
      std::int64_t needed = 0;
      for (std::int32_t t = s.num_tokens(); t < s.num_tokens() + n; ++t) needed += t % shape.block_size == 0 ? 1 : 0;
      if (s.num_tokens() % shape.block_size != 0 && holders(blocks.back(), g) > 1) ++needed;
      if (needed > free) return false;
    }
    return true;
  }

  int holders(folio::BlockId id, int group) const {
    int n = 0;
    for (folio::Sequence const& s : sequences_) {
      auto const blocks = s.blocks(group);
      n += static_cast<int>(std::count(blocks.begin(), blocks.end(), id));
    }
    return n;
  }

  void append(std::vector<std::size_t> const& which, std::int32_t n) {
    std::vector<folio::BatchItem> items;
    std::vector<std::size_t> grown;
    for (std::size_t const i : which) {
      if (!take_slots(i, n)) continue;
      items.emplace_back(&sequences_[i]);
      grown.push_back(i);
    }
    if (n == 0 || items.empty()) return;
    auto const batch = cache_.batch(items);
    expect(batch.num_query_tokens() == n * static_cast<std::int32_t>(items.size()), "wrong number of query tokens");
    std::vector<TokenRows> tokens;
    for (std::size_t const i : grown)
      for (std::int32_t t = 0; t < n; ++t) {
        references_[i].push_back(write(next_token_++, sequences_[i].num_tokens() - n + t));
        tokens.push_back(references_[i].back());
      }
    for (std::int32_t layer = 0; layer < program_model.layers; ++layer) scatter(batch.view(), layer);
    inputs_.clear();
  }

  void append_to_all(std::int32_t n) {
    std::vector<std::size_t> all(sequences_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    append(all, n);
  }

  void fork(std::size_t i) {
    if (sequences_.size() >= 6) return;
    sequences_.push_back(sequences_[i].fork());
    references_.push_back(ReferenceSequence(references_[i]));
  }

  void truncate(std::size_t i, std::uint32_t amount) {
    folio::Sequence& s = sequences_[i];
    auto const length = static_cast<std::int32_t>(amount % (static_cast<std::uint32_t>(s.num_tokens()) + 1));
    auto const before = block_lists(s);
    bool const possible = can_truncate(s, length);
    try {
      s.truncate(length);
      expect(possible, "truncate let go of what a window had given back");
      references_[i].resize(static_cast<std::size_t>(length));
    } catch (folio::Error const&) {
      expect(!possible, "truncate refused although every visible token is held");
      expect(block_lists(s) == before, "a refused truncate changed the sequence");
    }
  }

  /// Whether every group still holds what a query at `length` sees: asked token by token.
  static bool can_truncate(folio::Sequence const& s, std::int32_t length) {
    for (int g = 0; g < Cache::num_groups; ++g) {
      auto const shape = folio::group_shape(program_model, g, Cache::Blocks::block_size(g));
      for (std::int32_t t = 0; t < length; ++t)
        if (shape.visible(length, t) &&
            s.blocks(g)[static_cast<std::size_t>(t / shape.block_size)] == folio::null_block)
          return false;
    }
    return true;
  }

  void release(std::size_t i) {
    sequences_[i] = folio::Sequence();
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(i));
    references_.erase(references_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  /// Misuse: each must throw Error; the checks after the step see that nothing changed.
  void bad(std::size_t i, std::uint32_t amount) {
    folio::Sequence& s = sequences_[i];
    auto const refused = [](auto&& f) {
      try {
        f();
      } catch (folio::Error const&) {
        return true;
      }
      return false;
    };
    expect(refused([&] { s.truncate(s.num_tokens() + 1 + static_cast<std::int32_t>(amount % 100)); }), "truncate grew");
    expect(refused([&] { s.truncate(-1); }), "truncate took a negative length");
    expect(refused([&] { s.append(-1); }), "append took a negative number");
    expect(refused([&] { s.append(0x7fffffff); }), "append took more than can be");
    folio::Sequence moved = std::move(s);
    expect(refused([&] { s.append(1); }), "a moved-from handle appended");
    s = std::move(moved);
  }

  /// The rows of a new token: what it writes, and what the quantizer makes of it.
  TokenRows write(std::uint32_t token, std::int32_t position) {
    auto rows = std::make_shared<std::vector<LayerRows>>(program_model.layers);
    for (std::int32_t layer = 0; layer < program_model.layers; ++layer) {
      folio::GroupShape const& shape = cache_.shape(program_model.pattern.place(layer).group);
      LayerRows& out = (*rows)[static_cast<std::size_t>(layer)];
      Input& in = inputs_[layer];
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        add_row<typename Cache::KeyQuantizer>(token, position, layer, head, 0, shape.key_dim, in.keys, out.keys);
        if (!shape.values_in_keys())
          add_row<typename Cache::ValueQuantizer>(token, position, layer, head, 1, shape.value_dim, in.values,
                                                  out.values);
      }
    }
    return rows;
  }

  template <folio::QuantizerPolicy Q>
  static void add_row(std::uint32_t token, std::int32_t position, std::int32_t layer, std::int32_t head, int plane,
                      std::int32_t dim, std::vector<float>& in, std::vector<float>& out) {
    float row[64], decoded[64];
    alignas(16) std::byte codes[256] = {}, params[64] = {};
    for (std::int32_t d = 0; d < dim; ++d) row[d] = written(token, position, layer, head, plane, d);
    Q::encode(row, dim, codes, params);
    folio::decode_row<Q>(codes, params, dim, decoded);
    in.insert(in.end(), row, row + dim);
    out.insert(out.end(), decoded, decoded + dim);
  }

  void scatter(typename Cache::View const& view, std::int32_t layer) {
    Input const& in = inputs_[layer];
    folio::ops::append(view, layer, in.keys.data(), in.values.empty() ? nullptr : in.values.data());
  }

  /// Every token of every sequence that is still held, in every layer and head, is what was written.
  void check_contents() {
    std::vector<folio::BatchItem> items;
    for (folio::Sequence const& s : sequences_) items.emplace_back(&s);
    if (items.empty()) return;
    auto const batch = cache_.batch(items);
    auto const view = batch.view();
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      expect(sequences_[i].num_tokens() == static_cast<std::int32_t>(references_[i].size()), "wrong length");
      for (std::int32_t layer = 0; layer < program_model.layers; ++layer)
        folio::ops::with_group(view, layer, [&](auto group, std::int32_t index) {
          check_layer(view.template sequence_in<group()>(static_cast<std::int32_t>(i), index), i, layer);
        });
    }
  }

  template <class SequenceInLayer>
  void check_layer(SequenceInLayer const& sequence, std::size_t i, std::int32_t layer) {
    folio::GroupShape const shape = sequence.shape();
    for (std::int32_t token = 0; token < sequence.num_tokens(); ++token) {
      if (sequence.block_id(token) == folio::null_block) {
        expect(!shape.visible(sequence.num_tokens(), token), "a token that the next query sees was given back");
        continue;
      }
      LayerRows const& rows = (*references_[i][static_cast<std::size_t>(token)])[static_cast<std::size_t>(layer)];
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        check_row(sequence.key(head, token), rows.keys.data() + head * shape.key_dim, shape.key_dim, i, layer, token);
        float const* const values =
            shape.values_in_keys() ? rows.keys.data() : rows.values.data() + head * shape.value_dim;
        check_row(sequence.value(head, token), values, shape.value_dim, i, layer, token);
      }
    }
  }

  template <class Row>
  static void check_row(Row const& row, float const* wanted, std::int32_t dim, std::size_t i, std::int32_t layer,
                        std::int32_t token) {
    float read[64];
    folio::ops::load_row(row, dim, read);
    if (std::memcmp(read, wanted, sizeof(float) * static_cast<std::size_t>(dim)) == 0) return;
    std::ostringstream what;
    what << "sequence " << i << ", layer " << layer << ", token " << token << ": read " << read[0] << ", " << read[1]
         << "..., written was " << wanted[0] << ", " << wanted[1] << "...";
    throw std::logic_error(what.str());
  }

  /// Free + live is all; live, shared and empty slots are what counting by hand says.
  void check_accounting() {
    folio::Stats const stats = cache_.stats();
    for (int g = 0; g < Cache::num_groups; ++g) {
      std::map<folio::BlockId, std::pair<int, std::int32_t>> live;  // holders, and the slots that hold a token
      std::int32_t const block_size = Cache::Blocks::block_size(g);
      for (folio::Sequence const& s : sequences_) {
        auto const blocks = s.blocks(g);
        for (std::size_t b = 0; b < blocks.size(); ++b) {
          if (blocks[b] == folio::null_block) continue;
          auto& [holders, filled] = live[blocks[b]];
          ++holders;
          filled = std::max(filled, std::min(block_size, s.num_tokens() - static_cast<std::int32_t>(b) * block_size));
        }
      }
      std::int64_t shared = 0, empty = 0;
      for (auto const& [id, use] : live) {
        shared += use.first > 1 ? 1 : 0;
        empty += block_size - use.second;
      }
      folio::GroupStats const& s = stats.groups[static_cast<std::size_t>(g)];
      expect(s.free + s.live == s.total, "free + live is not all");
      expect(s.live == static_cast<std::int64_t>(live.size()), "live blocks are not those that sequences hold");
      expect(s.shared == shared, "shared blocks are miscounted");
      expect(s.slots_empty == empty, "empty slots are miscounted");
      expect(s.allocated - s.freed == s.live && s.peak_live >= s.live, "counters do not close");
    }
    expect(stats.num_sequences == static_cast<std::int64_t>(sequences_.size()), "sequences are miscounted");
  }

  static std::vector<std::vector<folio::BlockId>> block_lists(folio::Sequence const& s) {
    std::vector<std::vector<folio::BlockId>> lists;
    for (int g = 0; g < Cache::num_groups; ++g) lists.emplace_back(s.blocks(g).begin(), s.blocks(g).end());
    return lists;
  }

  struct Input {
    std::vector<float> keys, values;  // [token of the batch][head][dim]
  };

  Cache cache_;
  std::vector<folio::Sequence> sequences_;
  std::vector<ReferenceSequence> references_;
  std::map<std::int32_t, Input> inputs_;  // by layer, of the step being written
  std::uint32_t next_token_ = 1;
};

}  // namespace folio_test
