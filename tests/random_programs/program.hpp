// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs of sequence operations, run on the paged cache and on the flat one side by side.

#include <algorithm>
#include <cstring>
#include <folio/folio.hpp>
#include <map>
#include <string>

#include "random_programs/driver.hpp"
#include "random_programs/operation.hpp"
#include "random_programs/prompts.hpp"
#include "random_programs/reference.hpp"
#include "support/layer_types.hpp"

namespace folio::test {

/// Runs a program and throws std::logic_error with what differed, if anything does.
///
/// A `Driver` is where the blocks are, and who writes and reads them: HostDriver, or the device's. It has
///   Cache& cache()
///   void write(items, inputs)           a step: the query tokens of `items` write `inputs`, by layer
///   bool look(items)                    a step without new tokens, to be read; or false: not this time
///   void read(i, layer, first, n, reference)   in that step, tokens [first, first + n) of item i are the reference's
///   void read_both(i, layer, reference)   in that step, all tokens of item i, demoted or not, where the cache demotes
///   num demote(sequence, num_accepted)   demotes what is due, likewise
///   void settle()                       every read so far has been compared, nothing is held any more
///   void ask(items, asked)              where it can: attention of `items`, whose queries are anywhere, gives
///                                       asked.wanted
///   std::deque<HeldBlocks> const& held()
///   and what it has to do with Operation::swap and Operation::resize, where programs have these
template <class Driver>
class ProgramRun {
 public:
  using Cache = typename Driver::Cache;
  using ProgramReference = Reference<Cache::num_groups>;

  template <class... Arguments>
  explicit ProgramRun(Arguments&&... arguments)
      : driver_(std::forward<Arguments>(arguments)...), cache_(driver_.cache()) {}

  void run(std::vector<Operation> const& program, bool traced = false) {
    for (Operation const& op : program) {
      step(op);
      ++counts_.steps;
      check_contents();
      if (++num_steps_ % (Cache::has_prefixes ? 6 : 3) == 0) check_queries(op.amount);  // the former are longer
      check_accounting();
      if (traced) trace_.push_back(folio::to_json(cache_.stats()));
    }
    counts_.evicted_units += cache_.stats().prefixes.evicted_units;
    counts_.merged_blocks += cache_.stats().prefixes.merged_blocks;
    sequences_.clear();
    references_.clear();
    parked_.clear();
    driver_.settle();
    check_accounting();
    if constexpr (Cache::has_prefixes) cache_.prefixes().clear();
    for (int l = 0; l < Cache::num_lists; ++l)
      expect(cache_.num_free_blocks(l) == cache_.num_blocks(l), "blocks leaked");
  }

  /// All gauges and counters after each operation, if it was traced.
  [[nodiscard]] std::vector<std::string> const& trace() const { return trace_; }

  /// What the program met.
  [[nodiscard]] PrefixCounts const& counts() const { return counts_; }

 private:
  void step(Operation const& op) {
    if constexpr (Cache::has_prefixes)
      if (op.kind == Operation::find) return find(op.amount);
    if (op.kind == Operation::create || sequences_.empty()) {
      if (sequences_.size() >= 6) return;
      sequences_.push_back(cache_.create());
      references_.emplace_back(new_reference());
      return;
    }
    std::size_t const i = op.which % sequences_.size();
    switch (op.kind) {
      case Operation::append:  // half of them short, as decoding is: they meet every edge of a window
        return append({i},
                      static_cast<std::int32_t>(op.amount % 2 == 0 ? op.amount / 2 % 4
                                                                   : op.amount / 2 % (Cache::has_demotion ? 24 : 14)));
      case Operation::append_to_all:
        return append_to_all(1 + static_cast<std::int32_t>(op.amount % 3));
      case Operation::fork:
        return fork(i);
      case Operation::truncate:
        return truncate(i, op.amount);
      case Operation::release:
        if constexpr (Cache::has_prefixes)
          if (op.amount % 2 == 0) insert(i, 0);
        return release(i);
      case Operation::bad:
        return bad(i, op.amount);
      case Operation::cut:
        return cut(i, op.amount);
      case Operation::keep:
        return keep(i, op.amount);
      case Operation::swap:
        if constexpr (requires { driver_.swap_out(sequences_[i]); }) return swap(i);
        return;
      case Operation::resize:
        if constexpr (folio::ResizableAllocator<typename Cache::Allocator>) return resize(op);
        return;
      case Operation::demote:
        if constexpr (Cache::has_demotion) return demote(i, op.amount);
        return;
      case Operation::set_recent_window:
        if constexpr (Cache::has_demotion) cache_.set_recent_window(static_cast<std::int32_t>(op.amount % 9));
        return;
      case Operation::insert:
        if constexpr (Cache::has_prefixes) return insert(i, op.amount);
        return;
      case Operation::evict:
        if constexpr (Cache::has_prefixes) return evict(i, op.amount);
        return;
      case Operation::take_back:
        return take_back(i, 1 + static_cast<std::int32_t>(op.amount % 14));
      default:
        return;
    }
  }

  [[nodiscard]] ProgramReference new_reference() const {
    ProgramReference reference;
    if constexpr (Cache::has_demotion) reference.sinks = cache_.sinks();
    return reference;
  }
  [[nodiscard]] static bool demotes(int g) { return group_demotes<Cache>(g); }
  /// Tokens at the front of a group's first list that nobody takes out.
  [[nodiscard]] std::int32_t sinks(std::size_t i, int g) const { return demotes(g) ? references_[i].sinks : 0; }

  /// Demotes what is due, or all that is accepted and due: counted token by token.
  void demote(std::size_t i, std::uint32_t amount) {
    folio::Sequence& s = sequences_[i];
    ProgramReference& reference = references_[i];
    std::int32_t const length = s.num_tokens();
    std::int32_t const accepted =
        amount % 2 == 0 ? folio::all_tokens : static_cast<std::int32_t>(amount / 2) % (length + 1);
    std::int32_t const limit = std::min(accepted, length - cache_.recent_window());
    std::int32_t due = std::max(0, limit);
    for (int g = 0; g < Cache::num_groups; ++g) {
      if (!demotes(g)) continue;
      StoredTokens const& stored = reference.stored[g];
      std::int32_t const end = stored.can_truncate(limit) ? limit : stored.gap_begin;
      auto const before = std::count_if(stored.positions.begin(), stored.positions.end(),
                                        [&](std::int32_t position) { return position < end; });
      due = std::min(due, static_cast<std::int32_t>(before) - reference.sinks - reference.num_demoted(g));
    }
    due = std::max(0, due) / cache_.demotion_unit() * cache_.demotion_unit();
    expect(cache_.num_due(s, accepted) == due, "another number of tokens is due");
    bool fits = true;
    for (int l = Cache::num_groups; l < Cache::num_lists; ++l)
      fits = fits && due / cache_.shape(l).block_size <= cache_.num_obtainable_blocks(l);
    auto const before = block_lists(s);
    Evictions const watch(*this);
    try {
      expect(driver_.demote(s, accepted) == due, "another number of tokens was demoted");
      expect(fits, "a demotion found blocks that are not there");
    } catch (folio::OutOfBlocks const& full) {
      expect(!fits, "a demotion was refused although every list has enough blocks");
      expect(full.group() >= Cache::num_groups && full.free() == cache_.num_free_blocks(full.group()),
             "OutOfBlocks of a demotion reports another list");
      expect(block_lists(s) == before, "a failed demotion changed the sequence");
      return;
    }
    num_demoted_ += due;
    demote(reference, due);
  }
  void demote(ProgramReference& reference, std::int32_t due) const {
    for (int g = 0; g < Cache::num_groups && due > 0; ++g) {
      if (!demotes(g)) continue;
      ReferenceSequence rows;
      auto const first = reference.stored[g].positions.begin() + reference.sinks + reference.num_demoted(g);
      for (auto position = first; position < first + due; ++position)
        rows.push_back(demoted_rows(*reference.tokens[static_cast<std::size_t>(*position)], g));
      reference.demote(g, rows, reference.length());
    }
  }

  /// What the second list's format makes of a token in the layers of a group.
  TokenRows demoted_rows(std::vector<LayerRows> const& rows, int g) const {
    auto demoted = std::make_shared<std::vector<LayerRows>>(rows);
    folio::GroupShape const& shape = cache_.shape(g);
    for (std::int32_t layer = 0; layer < program_model.layers; ++layer) {
      if (program_model.pattern.place(layer).group != g) continue;
      LayerRows& of_layer = (*demoted)[static_cast<std::size_t>(layer)];
      encode_once<typename Cache::Demotion::Set::KeyQuantizer>(of_layer.keys, shape.key_dim);
      encode_once<typename Cache::Demotion::Set::ValueQuantizer>(of_layer.values, shape.value_dim);
    }
    return demoted;
  }
  template <folio::QuantizerPolicy Q>
  static void encode_once(std::vector<float>& rows, std::int32_t dim) {
    alignas(16) std::byte codes[256] = {}, params[64] = {};
    for (auto row = rows.begin(); row < rows.end(); row += dim) {
      Q::encode(&*row, dim, codes, params);
      folio::decode_row<Q>(codes, params, dim, &*row);
      folio::change_basis(Q::basis, &*row, dim, dim);
    }
  }

  /// Takes slots for n tokens; false, with nothing changed, when the pools are too small.
  bool take_slots(std::size_t i, std::int32_t n) {
    folio::Sequence& s = sequences_[i];
    auto const before = block_lists(s);
    std::int32_t const length = s.num_tokens();
    bool const fits = can_extend(i, n);
    Evictions const watch(*this);
    try {
      s.extend(n);
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

  /// Whether n more tokens fit: counted by hand, where nothing can be evicted; else at least what fits without that.
  bool can_extend(std::size_t i, std::int32_t n) const {
    bool const fits = has_blocks_for(i, n);
    if constexpr (!Cache::has_prefixes) return fits;
    bool const can = sequences_[i].can_extend(n);
    expect(can || !fits, "can_extend says no although every group has enough free blocks");
    return can;
  }
  /// Whether n more tokens fit as things are: blocks that only this sequence holds and no new token sees come back.
  bool has_blocks_for(std::size_t i, std::int32_t n) const {
    folio::Sequence const& s = sequences_[i];
    if (n == 0) return true;
    std::int32_t first = s.num_tokens();  // that may ask; where prefixes are kept, it keeps what a unit before did see
    if constexpr (Cache::has_prefixes) first = std::max(0, first - cache_.prefixes().unit());
    for (int g = 0; g < Cache::num_groups; ++g) {
      folio::GroupShape const& shape = cache_.shape(g);
      auto const blocks = s.blocks(g);
      std::int32_t const stored = s.num_stored_tokens(g);  // with a window: positions
      std::int64_t free = cache_.num_free_blocks(g);
      for (std::size_t b = 0; shape.window != 0 && b < blocks.size(); ++b) {
        bool seen = false;  // a window group gives a block back when no new token sees any of its tokens
        for (std::int32_t slot = 0; slot < shape.block_size; ++slot)
          for (std::int32_t position = first; position < s.num_tokens() + n; ++position)
            seen |= shape.visible(position, static_cast<std::int32_t>(b) * shape.block_size + slot);
        bool const ends_before = (static_cast<std::int32_t>(b) + 1) * shape.block_size <= s.num_tokens();
        if (blocks[b] != folio::null_block && !seen && ends_before && holders(blocks[b], g) == 1) ++free;
      }
      std::int64_t needed = 0;
      for (std::int32_t t = stored; t < stored + n; ++t) needed += t % shape.block_size == 0 ? 1 : 0;
      if (stored % shape.block_size != 0 && holders(blocks.back(), g) > 1) ++needed;
      if (needed > free) return false;
    }
    return true;
  }

  /// Sequences that hold a block, what is held beside them, and the tree.
  int holders(folio::BlockId id, int group) const {
    int n = is_cached(id, group) ? 1 : 0;
    for (folio::Sequence const& s : sequences_) {
      auto const blocks = s.blocks(group);
      n += static_cast<int>(std::count(blocks.begin(), blocks.end(), id));
    }
    for (HeldBlocks const& held : driver_.held()) {
      auto const& blocks = held.blocks[static_cast<std::size_t>(group)];
      n += static_cast<int>(std::count(blocks.begin(), blocks.end(), id));
    }
    return n;
  }
  [[nodiscard]] bool is_cached(folio::BlockId block, int list) const {
    return cache_.state()->store.pool(list).is_cached(block);
  }

  /// `given`: the symbols of the new tokens, else any.
  void append(std::vector<std::size_t> const& which, std::int32_t n, std::span<std::int32_t const> given = {}) {
    std::vector<folio::BatchItem> items;
    std::vector<std::size_t> grown;
    for (std::size_t const i : which) {
      if (!take_slots(i, n)) continue;
      items.emplace_back(&sequences_[i]);
      grown.push_back(i);
    }
    if (n == 0 || items.empty()) return;
    for (std::size_t const i : grown)
      for (std::int32_t t = 0; t < n; ++t)
        add(references_[i], given.empty() ? any_symbol() : given[static_cast<std::size_t>(t)]);
    driver_.write(items, inputs_);
    inputs_.clear();
  }
  /// Symbols that prompts share, where prefixes are kept; else each its own.
  std::int32_t any_symbol() {
    std::uint32_t const next = next_token_++;
    return static_cast<std::int32_t>(Cache::has_prefixes ? next * 2654435761U >> 16 & 1 : next);
  }
  /// The next token of a sequence, which is written in this step.
  void add(ProgramReference& reference, std::int32_t symbol) {
    std::uint32_t const token = token_after(reference.hashes.empty() ? 1 : reference.hashes.back(), symbol);
    TokenRows rows = write(token, reference.length());
    if (Cache::has_prefixes) prompts_.note_rows(token, reference.length(), rows);
    reference.add(symbol, token, std::move(rows));
  }

  /// Takes slots and gives them back unwritten; writes them where a window has let go of what was before.
  void take_back(std::size_t i, std::int32_t n) {
    std::int32_t const length = sequences_[i].num_tokens();
    if (!take_slots(i, n)) return;
    if (can_truncate(i, length)) return sequences_[i].truncate(length);
    for (std::int32_t t = 0; t < n; ++t) add(references_[i], any_symbol());
    driver_.write({{&sequences_[i]}}, inputs_);
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
    references_[i].fork = ++num_forks_;
    references_.push_back(ProgramReference(references_[i]));
  }

  void truncate(std::size_t i, std::uint32_t amount) {
    folio::Sequence& s = sequences_[i];
    auto length = static_cast<std::int32_t>(amount % (static_cast<std::uint32_t>(s.num_tokens()) + 1));
    std::int32_t const demoted = s.num_demoted_tokens();
    if (demoted > 0 && amount % 2 == 0)  // near the end of what is demoted, where a gap may be
      length =
          std::min(s.num_tokens(), references_[i].sinks + demoted - 2 + static_cast<std::int32_t>(amount / 2 % 16));
    auto const before = block_lists(s);
    bool const possible = can_truncate(i, length);
    try {
      s.truncate(length);
      expect(possible, "truncate let go of what a window had given back, or cut through a gap");
      references_[i].truncate(length);
    } catch (folio::Error const&) {
      expect(!possible, "truncate refused although every visible token is held, and no gap is cut");
      expect(block_lists(s) == before, "a refused truncate changed the sequence");
    }
  }

  /// Whether no gap of a group is cut, and every group still holds what a query at `length` sees: asked token by token.
  bool can_truncate(std::size_t i, std::int32_t length) const {
    for (int g = 0; g < Cache::num_groups; ++g) {
      StoredTokens const& stored = references_[i].stored[g];
      if (!stored.can_truncate(length)) return false;
      auto const shape = folio::group_shape(program_model, g, Cache::Blocks::block_size(g));
      auto const blocks = sequences_[i].blocks(g);
      if (demotes(g)) {
        if (references_[i].num_demoted_before(g, length) % demotion_unit() != 0) return false;
        continue;
      }
      for (std::size_t t = 0; t < stored.positions.size() && stored.positions[t] < length; ++t)
        if (shape.visible(length, stored.positions[t]) &&
            blocks[t / static_cast<std::size_t>(shape.block_size)] == folio::null_block)
          return false;
    }
    return true;
  }

  [[nodiscard]] std::int32_t demotion_unit() const {
    if constexpr (Cache::has_demotion) return cache_.demotion_unit();
    return 1;
  }

  /// Takes whole blocks out of a group, or is refused for one with a window, and for sinks that are not demoted.
  void cut(std::size_t i, std::uint32_t amount) {
    folio::Sequence& s = sequences_[i];
    int const g = static_cast<int>(amount % Cache::num_groups);
    StoredTokens& stored = references_[i].stored[g];
    std::int32_t const size = Cache::Blocks::block_size(g), whole = s.num_stored_tokens(g) / size;
    if (whole == 0) return;
    std::int32_t const first = static_cast<std::int32_t>(amount / 3) % whole,
                       n = 1 + static_cast<std::int32_t>(amount / 50) % std::min(3, whole - first);
    auto const before = block_lists(s);
    bool const possible = cache_.shape(g).window == 0 && first * size >= sinks(i, g);
    try {
      s.cut(first * size, n * size, g);
    } catch (folio::Error const&) {
      expect(!possible, "a cut of whole blocks was refused");
      expect(block_lists(s) == before, "a refused cut changed the sequence");
      return;
    }
    expect(possible, "tokens were cut out of a window, or sinks");
    stored.cut(references_[i].number_of(g, first * size), n * size, s.num_tokens());
  }

  bool own(folio::Sequence& s, int g, std::int32_t n) {
    Evictions const watch(*this);
    return s.try_own(0, n, g);
  }

  /// Compacts what a group stores to its first tokens, its last ones and some between them; or, where it shares blocks,
  /// which nobody may write, to its first ones, or to some of them in copies of its own.
  void keep(std::size_t i, std::uint32_t amount) {
    folio::Sequence& s = sequences_[i];
    int const g = amount % 2 == 0 ? 0 : 2;  // those without a window
    StoredTokens& stored = references_[i].stored[g];
    std::int32_t const n = s.num_stored_tokens(g);
    if (n == 0) return;
    auto const blocks = s.blocks(g);
    bool shared = std::any_of(blocks.begin(), blocks.end(), [&](auto block) { return holders(block, g) > 1; });
    if (shared && amount % 8 < 4) shared = !own(s, g, n);
    std::int32_t const num_first = std::max(3, sinks(i, g));
    std::vector<std::int32_t> kept;
    for (std::int32_t t = 0; t < n; ++t)
      if (shared ? t < static_cast<std::int32_t>(amount / 2) % n
                 : t < num_first || t >= n - 2 || (static_cast<std::uint32_t>(t) * 7 + amount) % 3 == 0)
        kept.push_back(t);
    if (!shared && !kept.empty()) driver_.compact(s, g, kept);
    auto const left = static_cast<std::int32_t>(kept.size());
    std::int32_t const first = std::min(left, shared ? left : num_first);
    auto const before = block_lists(s);
    try {
      s.keep({.num_tokens = left, .num_first = first, .num_last = shared ? 0 : std::min(2, left - first)}, g);
    } catch (folio::Error const&) {
      expect(left < n && first < sinks(i, g), "what is left was refused");
      expect(block_lists(s) == before, "a refused keep changed the sequence");
      return;
    }
    expect(left == n || first >= sinks(i, g), "sinks were taken out");
    if (left == n) return;
    for (std::int32_t& t : kept) t = references_[i].number_of(g, t);
    for (std::int32_t t = 0; t < references_[i].num_demoted(g); ++t)
      kept.insert(kept.begin() + references_[i].sinks + t, references_[i].sinks + t);
    stored.keep(kept, s.num_tokens());
    stored.gap_begin = std::min(stored.gap_begin, references_[i].number_of(g, first));  // what the cache was told
    stored.gap_end = std::max(stored.gap_end, s.num_tokens() - (shared ? 0 : std::min(2, left - first)));
  }

  // ---- prefixes

  /// A request: takes what is kept of a prompt, and mostly computes the rest. Another one ends where there are many.
  void find(std::uint32_t amount) {
    Draws draw(amount);
    if (sequences_.size() >= 4) {
      auto const i = static_cast<std::size_t>(draw(static_cast<std::int32_t>(sequences_.size())));
      if (draw(4) > 0) insert(i, 0);
      release(i);
    }
    std::vector<std::vector<std::int32_t>> now;
    for (ProgramReference const& reference : references_) now.push_back(reference.symbols);
    std::vector<std::int32_t> const prompt = prompts_.any(now, draw);
    auto const length = static_cast<std::int32_t>(prompt.size());
    std::int32_t const most = draw(3) == 0 ? draw(length + 3) : folio::all_tokens;
    std::int32_t const kept = cache_.num_cached_tokens(prompt), n = cache_.num_cached_tokens(prompt, most);
    expect(kept <= std::max(0, length - 1) && n <= std::min(most, kept), "more is found than is asked for");
    expect(n == kept || most < kept, "less is found than there is");
    sequences_.push_back(cache_.create(folio::Prefix(prompt), 0, most));
    references_.emplace_back(new_reference());
    std::size_t const i = sequences_.size() - 1;
    take_found(i, prompt, n);
    std::int32_t const how = draw(6);
    if (how == 0) return;
    if (how < 3) take_back(i, 1 + draw(4));  // what it found in part is copied, or due to be
    constexpr std::int32_t most_at_once = 24;
    for (std::int32_t t = n; t < length && sequences_[i].num_tokens() == t; t += most_at_once)
      append({i}, std::min(most_at_once, length - t), std::span(prompt).subspan(static_cast<std::size_t>(t)));
  }
  /// The first n tokens of a prompt were found.
  void take_found(std::size_t i, std::vector<std::int32_t> const& prompt, std::int32_t n) {
    folio::Sequence const& s = sequences_[i];
    ProgramReference& reference = references_[i];
    expect(s.num_tokens() == n && s.num_cached_tokens() == n, "another number is found");
    expect(s.num_new_tokens() == 0, "what is found is new");
    for (std::int32_t t = 0; t < n; ++t) {
      std::int32_t const symbol = prompt[static_cast<std::size_t>(t)];
      std::uint32_t const token = token_after(t == 0 ? 1 : reference.hashes.back(), symbol);
      reference.add(symbol, token, prompts_.rows(token, t));
    }
    std::int32_t const demoted = s.num_demoted_tokens();
    expect(demoted % demotion_unit() == 0 && demoted <= std::max(0, n - reference.sinks),
           "what is found is demoted in parts of units");
    if constexpr (Cache::has_demotion) demote(reference, demoted);
    counts_.found += n > 0 ? 1 : 0;
    counts_.found_demoted += demoted > 0 ? 1 : 0;
    bool is_part = false;
    for (int g = 0; g < Cache::num_groups; ++g) is_part |= s.num_stored_tokens(g) % cache_.shape(g).block_size != 0;
    counts_.found_parts += is_part ? 1 : 0;
  }

  /// Keeps a sequence as a prefix: all of it, or some of its first tokens.
  void insert(std::size_t i, std::uint32_t amount) {
    std::vector<std::int32_t> const& symbols = references_[i].symbols;
    std::size_t const n = amount % 3 == 1 ? amount / 3 % (symbols.size() + 1) : symbols.size();
    std::int32_t const kept =
        cache_.insert(sequences_[i], folio::Prefix(std::span<std::int32_t const>(symbols.data(), n)));
    expect(kept >= 0 && kept <= static_cast<std::int32_t>(n) && kept <= references_[i].num_exact(),
           "more is kept than there is");
    expect(kept % cache_.prefixes().unit() == 0, "parts of units are kept");
  }

  /// Evicts some units, or all that can go, or forgets all; or lets what a sequence has found be evicted.
  void evict(std::size_t i, std::uint32_t amount) {
    if (amount % 4 == 0) return cache_.release_lease(sequences_[i]);
    if (amount % 32 == 1) return cache_.prefixes().clear();
    Evictions const watch(*this);
    if (amount % 4 == 1) return cache_.prefixes().evict_all();
    for (std::uint32_t n = amount % 4; n > 0; --n) static_cast<void>(cache_.prefixes().evict_unit());
  }

  /// Counts what is evicted while it lives, and under which circumstances.
  class Evictions {
   public:
    explicit Evictions(ProgramRun& run) : run_(run), units_(run.cache_.stats().prefixes.evicted_units) {
      if constexpr (!Cache::has_prefixes) return;
      for (folio::BlockMove const& move : run.cache_.moves().due()) {
        if (move.is_out()) continue;
        has_copies_ = true;
        if (run.is_cached(move.from, move.list)) sources_.push_back(move);
      }
    }
    Evictions(Evictions const&) = delete;
    Evictions& operator=(Evictions const&) = delete;
    ~Evictions() {
      if (run_.cache_.stats().prefixes.evicted_units == units_) return;
      run_.counts_.evicted_under_forks += run_.has_forks() ? 1 : 0;
      run_.counts_.evicted_under_copies += has_copies_ ? 1 : 0;
      for (folio::BlockMove const& move : sources_)
        run_.counts_.evicted_sources += run_.is_cached(move.from, move.list) ? 0 : 1;
    }

   private:
    ProgramRun& run_;
    std::int64_t units_;
    bool has_copies_ = false;
    std::vector<folio::BlockMove> sources_;
  };
  [[nodiscard]] bool has_forks() const {
    for (ProgramReference const& one : references_)
      for (ProgramReference const& other : references_)
        if (&one != &other && one.fork != 0 && one.fork == other.fork) return true;
    return false;
  }

  void release(std::size_t i) {
    prompts_.add(references_[i].symbols);
    sequences_[i] = folio::Sequence();
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(i));
    references_.erase(references_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  /// Moves a sequence out of the pools, or the one that has been out for longest back in.
  void swap(std::size_t i) {
    if (!parked_.empty() && (parked_.size() > 2 || i % 2 == 0)) return swap_in();
    folio::Sequence& s = sequences_[i];
    if (s.num_tokens() == 0) return;
    if (references_[i].has_gap()) return;
    for (int g = 0; g < Cache::num_groups; ++g)  // whole ones only: it comes back as one long append
      for (folio::BlockId const block : s.blocks(g))
        if (block == folio::null_block) return;
    parked_.push_back({driver_.swap_out(s), references_[i]});
    release(i);
  }

  void swap_in() {
    if (sequences_.size() >= 6) return;
    sequences_.push_back(cache_.create());
    references_.push_back(new_reference());
    auto const& [blocks, reference] = parked_.front();
    if (!take_slots(sequences_.size() - 1, reference.length())) return;
    driver_.swap_in(blocks, sequences_.back());
    references_.back() = reference;
    parked_.erase(parked_.begin());
  }

  void resize(Operation const& op) {
    int const group = static_cast<int>(op.which % Cache::num_groups);
    // Half of them so small that blocks in use are often in the way.
    std::int64_t const before = cache_.num_blocks(group), wanted = 1 + op.amount / 2 % (op.amount % 2 == 0 ? 100 : 10);
    driver_.before_resize();  // first: it lets go of blocks that are held
    bool possible = true;
    for (std::int64_t id = wanted + 1; id <= before; ++id)
      possible = possible && holders(folio::BlockId{static_cast<std::int32_t>(id)}, group) == 0;  // nor kept
    try {
      cache_.resize(wanted, group);
      expect(possible, "a pool shrank below blocks that are in use");
      expect(cache_.num_blocks(group) == wanted, "a pool has another size than was wanted");
    } catch (folio::Error const&) {
      expect(!possible, "a pool did not shrink to where all blocks are free");
      expect(cache_.num_blocks(group) == before, "a pool that cannot shrink did");
    }
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
    std::int32_t const stored = s.num_stored_tokens(0);
    expect(refused([&] { s.cut(0, stored - stored % 4 + 4); }), "cut took more than is stored");
    expect(refused([&] { s.cut(2, 4); }) && refused([&] { s.cut(0, 2); }), "cut took parts of blocks");
    expect(refused([&] { s.keep({.num_tokens = stored + 1}); }), "keep kept more than is stored");
    expect(refused([&] { s.keep({.num_tokens = stored, .num_first = stored, .num_last = 1}); }),
           "keep kept a token twice");
    expect(refused([&] { s.keep({}, 1); }), "keep took tokens out of a window");
    expect(refused([&] { s.extend(-1); }), "append took a negative number");
    expect(refused([&] { s.extend(0x7fffffff); }), "append took more than can be");
    folio::Sequence moved = std::move(s);
    expect(refused([&] { s.extend(1); }), "a moved-from handle appended");
    s = std::move(moved);
  }

  /// The rows of a new token: what it writes, and what the quantizer makes of it.
  TokenRows write(std::uint32_t token, std::int32_t position) {
    auto rows = std::make_shared<std::vector<LayerRows>>(program_model.layers);
    for (std::int32_t layer = 0; layer < program_model.layers; ++layer) {
      int const group = program_model.pattern.place(layer).group;
      folio::GroupShape const& shape = cache_.shape(group);
      LayerRows& out = (*rows)[static_cast<std::size_t>(layer)];
      ProgramInput& in = inputs_[layer];
      with_layer_type<FirstViewOf<Cache>>(group, [&]<class Layer>() {
        for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
          add_row<typename Layer::KeyQuantizer>(token, position, layer, head, 0, shape.key_dim, in.keys, out.keys);
          if (!shape.values_in_keys())
            add_row<typename Layer::ValueQuantizer>(token, position, layer, head, 1, shape.value_dim, in.values,
                                                    out.values);
        }
      });
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

  /// Every token of every sequence that is still held, in every layer and head, is what was written.
  void check_contents() {
    std::vector<folio::BatchItem> items;
    for (folio::Sequence const& s : sequences_) items.emplace_back(&s, 0);
    if (items.empty() || !driver_.look(items)) return;
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      expect(sequences_[i].num_tokens() == references_[i].length(), "wrong length");
      expect(sequences_[i].num_exact_tokens() == references_[i].num_exact(), "wrong number of exact tokens");
      for (int g = 0; g < Cache::num_groups; ++g) {
        StoredTokens const& stored = references_[i].stored[g];
        std::int32_t const demoted = references_[i].num_demoted(g);
        expect(sequences_[i].num_stored_tokens(g) + demoted == static_cast<std::int32_t>(stored.positions.size()),
               "a group stores another number of tokens");
        expect(!demotes(g) || sequences_[i].num_demoted_tokens() == demoted, "another number of tokens is demoted");
        expect(demoted == 0 || sequences_[i].num_new_tokens() <= sequences_[i].num_stored_tokens(g) - sinks(i, g),
               "a new token is demoted");
        expect(sequences_[i].num_new_tokens() <= references_[i].length() - stored.gap_end, "a new token is in a gap");
      }
      for (std::int32_t layer = 0; layer < program_model.layers; ++layer) check_layer(i, layer);
    }
  }

  /// Attention of queries anywhere in their sequences, or elsewhere, in one layer: what the formula says of what was
  /// written.
  void check_queries(std::uint32_t amount) {
    auto const layer = static_cast<std::int32_t>(amount % program_model.layers);
    std::vector<std::vector<std::int32_t>> numbers(sequences_.size());
    std::vector<folio::BatchItem> items;
    AskedAttention asked{.layer = layer};
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      std::int32_t const kind = static_cast<std::int32_t>(amount / 4 + i) % 4;
      bool const elsewhere = kind == 1;  // numbers are limits then
      for (std::int32_t n = 0; n < references_[i].length() + (elsewhere ? 1 : 0) && numbers[i].size() < 3; ++n)
        if ((elsewhere ? can_see(i, n) : can_ask(i, n)) && (static_cast<std::uint32_t>(n) * 5 + amount) % 7 < 2)
          numbers[i].push_back(n);
      if (elsewhere && can_see(i, 0) && numbers[i].size() < 3) numbers[i].insert(numbers[i].begin(), 0);
      std::int32_t const last = std::min(sequences_[i].num_new_tokens(), 3);
      items.push_back(kind == 0   ? folio::BatchItem(&sequences_[i], last)
                      : elsewhere ? folio::BatchItem::seeing(&sequences_[i], numbers[i])
                                  : folio::BatchItem(&sequences_[i], numbers[i]));
      std::vector<std::int32_t> positions;
      for (std::int32_t const number : numbers[i]) positions.push_back(elsewhere ? number - 1 : number);
      if (kind == 0) {
        positions.clear();
        for (std::int32_t t = references_[i].length() - last; t < references_[i].length(); ++t) positions.push_back(t);
      }
      want_attention(i, positions, asked);
    }
    if (!asked.q.empty()) driver_.ask(items, asked);
  }
  /// Whether every group stores the token at `position`, and holds what it sees.
  [[nodiscard]] bool can_ask(std::size_t i, std::int32_t position) const {
    for (int g = 0; g < Cache::num_groups; ++g) {
      StoredTokens const& stored = references_[i].stored[g];
      if (position >= stored.gap_begin && position < stored.gap_end) return false;
      if (std::int32_t const demoted = references_[i].num_demoted(g);
          demoted > 0 && position < references_[i].sinks + demoted)
        return false;
    }
    return can_see(i, position + 1);
  }
  /// Whether every group knows what is stored below position `limit`, all that is demoted among it, and holds what a
  /// query sees of that.
  [[nodiscard]] bool can_see(std::size_t i, std::int32_t limit) const {
    for (int g = 0; g < Cache::num_groups; ++g) {
      StoredTokens const& stored = references_[i].stored[g];
      if (limit > stored.gap_begin && limit < stored.gap_end) return false;
      if (std::int32_t const demoted = references_[i].num_demoted(g);
          demoted > 0 && limit < references_[i].sinks + demoted)
        return false;
      folio::GroupShape const& shape = cache_.shape(g);
      auto const blocks = sequences_[i].blocks(g);
      for (std::int32_t t = 0; shape.window != 0 && t < limit; ++t)
        if (shape.visible(limit - 1, t) && blocks[static_cast<std::size_t>(t / shape.block_size)] == folio::null_block)
          return false;
    }
    return true;
  }

  /// Queries for sequence `i` at these positions, and what they should come to. -1: one that sees nothing.
  void want_attention(std::size_t i, std::vector<std::int32_t> const& positions, AskedAttention& asked) const {
    int const group = program_model.pattern.place(asked.layer).group;
    folio::GroupShape const& shape = cache_.shape(group);
    std::vector<std::int32_t> const& stored = references_[i].stored[group].positions;
    folio::Basis key_basis{}, value_basis{};
    bool in_integers = false;
    with_layer_type<FirstViewOf<Cache>>(group, [&]<class Layer>() {
      key_basis = Layer::KeyQuantizer::basis;
      value_basis = Layer::ValueQuantizer::basis;
      in_integers = layer_in_integers<Layer, typename Cache::Layout>();
    });
    std::vector<float> keys, values;  // as the model has them
    for (TokenRows const& of_token : references_[i].in_both_lists(group)) {
      LayerRows const& rows = (*of_token)[static_cast<std::size_t>(asked.layer)];
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        float row[64];
        std::copy_n(rows.keys.data() + head * shape.key_dim, shape.key_dim, row);
        folio::change_basis(key_basis, row, shape.key_dim, shape.key_dim);
        keys.insert(keys.end(), row, row + shape.key_dim);
        std::copy_n(shape.values_in_keys() ? rows.keys.data() : rows.values.data() + head * shape.value_dim,
                    shape.values_in_keys() ? shape.key_dim : shape.value_dim, row);
        folio::ops::change_value_basis(value_basis, shape, row);
        values.insert(values.end(), row, row + shape.value_dim);
      }
    }
    if (Cache::has_demotion || in_integers) asked.wanted.unit = 5e-4;  // of rows whose products cancel
    for (std::int32_t const position : positions) {
      std::vector<std::int32_t> seen;
      std::int32_t number = -1;
      while (number + 1 < static_cast<std::int32_t>(stored.size()) &&
             stored[static_cast<std::size_t>(number + 1)] <= position)
        ++number;
      for (std::int32_t t = 0; t <= number; ++t)
        if (shape.visible(number, t)) seen.push_back(t);
      for (std::int32_t h = 0; h < asked_heads; ++h) {
        std::size_t const at = asked.q.size();
        for (std::int32_t d = 0; d < shape.key_dim; ++d)
          asked.q.push_back(static_cast<float>((position * 31 + h * 17 + d * 7) % 23 - 11) / 16);
        attend_naively(asked.wanted, seen, number, asked.q.data() + at, keys, values, shape.kv_heads,
                       h / (asked_heads / shape.kv_heads), shape, {.scale = double{AskedAttention::scale}}, nullptr);
      }
    }
  }

  /// Reads each run of tokens whose blocks are held and, before a window, in the step's table.
  void check_layer(std::size_t i, std::int32_t layer) {
    int const group = program_model.pattern.place(layer).group;
    folio::GroupShape const& shape = cache_.shape(group);
    auto const blocks = sequences_[i].blocks(group);
    if constexpr (Cache::has_demotion)
      if (demotes(group)) driver_.read_both(i, layer, references_[i].in_both_lists(group));
    ReferenceSequence const reference = references_[i].in_first_list(group);
    auto const length = static_cast<std::int32_t>(reference.size());
    std::int32_t const sinks = folio::blocks_for(shape.sinks, shape.block_size);
    std::int32_t const hidden = folio::hidden_blocks(shape, length);
    std::int32_t first = 0;
    for (std::int32_t token = 0; token <= length; ++token) {
      std::int32_t const block = token / shape.block_size;
      bool const held = token < length && (block < sinks || block >= sinks + hidden) &&
                        blocks[static_cast<std::size_t>(block)] != folio::null_block;
      if (held) continue;
      expect(token == length || !shape.visible(length, token), "a token that the next query sees was given back");
      if (first < token) driver_.read(i, layer, first, token - first, reference);
      first = token + 1;
    }
  }

  /// Each block is free, held or kept as a prefix; live, shared and empty slots are what counting by hand says.
  void check_accounting() {
    folio::Stats const stats = cache_.stats();
    std::int64_t saved = 0, kept = 0;
    for (int l = 0; l < Cache::num_lists; ++l) {
      std::map<folio::BlockId, std::pair<int, std::int32_t>> live;  // holders, and the slots that hold a token
      std::int32_t const block_size = cache_.shape(l).block_size;
      std::int64_t stored = 0;
      auto const count = [&](auto const& blocks, std::int32_t num_tokens) {
        for (std::size_t b = 0; b < blocks.size(); ++b) {
          if (blocks[b] == folio::null_block) continue;
          auto& [holders, filled] = live[blocks[b]];
          ++holders;
          std::int32_t const mine = std::min(block_size, num_tokens - static_cast<std::int32_t>(b) * block_size);
          filled = std::max(filled, mine);
          stored += mine;
        }
      };
      for (folio::Sequence const& s : sequences_)
        count(s.state().lists[l].blocks, l < Cache::num_groups ? s.num_stored_tokens(l) : s.num_demoted_tokens());
      for (HeldBlocks const& held : driver_.held()) count(held.blocks[static_cast<std::size_t>(l)], held.num_tokens);
      std::int64_t shared = 0, empty = 0, free = 0, cached = 0;
      for (auto const& [id, use] : live) {
        shared += use.first > 1 ? 1 : 0;
        empty += is_cached(id, l) ? 0 : block_size - use.second;
      }
      for (std::int32_t id = 1; id <= cache_.num_blocks(l); ++id) {
        bool const is_live = live.count(folio::BlockId{id}) > 0, is_kept = is_cached(folio::BlockId{id}, l);
        kept += is_kept ? 1 : 0;
        cached += is_kept && !is_live ? 1 : 0;
        free += is_kept || is_live ? 0 : 1;
      }
      folio::GroupStats const& s = stats.groups[static_cast<std::size_t>(l)];
      expect(s.free == free && s.cached == cached, "free or cached blocks are miscounted");
      if (l >= Cache::num_groups)
        saved += s.live * block_size * cache_.block_bytes(s.group) / cache_.shape(s.group).block_size -
                 s.live * cache_.block_bytes(l);
      expect(s.free + s.live + s.cached == s.total, "free + live + cached is not all");
      expect(s.live == static_cast<std::int64_t>(live.size()), "live blocks are not those that sequences hold");
      expect(s.shared == shared, "shared blocks are miscounted");
      expect(s.slots_empty == empty, "empty slots are miscounted");
      expect(s.stored == stored, "stored tokens are miscounted");
      expect(s.allocated - s.freed == s.live + s.cached && s.peak_live >= s.live, "counters do not close");
    }
    if constexpr (Cache::has_prefixes)
      expect(cache_.prefix_gauges().all.kept_blocks == kept, "the tree has other blocks than those that it keeps");
    expect(stats.bytes_saved == saved && stats.counters.demoted_tokens == num_demoted_, "demotions are miscounted");
    expect(stats.num_sequences == static_cast<std::int64_t>(sequences_.size() + driver_.held().size()),
           "sequences are miscounted");
  }

  static std::vector<std::vector<folio::BlockId>> block_lists(folio::Sequence const& s) {
    std::vector<std::vector<folio::BlockId>> lists;
    for (int l = 0; l < Cache::num_lists; ++l) lists.push_back(s.state().lists[l].blocks);
    return lists;
  }

  /// A sequence whose blocks are elsewhere.
  struct Parked {
    int blocks;  // what the driver calls them
    ProgramReference reference;
  };

  Driver driver_;
  Cache& cache_;
  std::vector<folio::Sequence> sequences_;
  std::vector<ProgramReference> references_;
  std::vector<Parked> parked_;
  std::map<std::int32_t, ProgramInput> inputs_;  // by layer, of the step being written
  Prompts prompts_;
  PrefixCounts counts_;
  std::int32_t num_forks_ = 0;
  std::uint32_t next_token_ = 1, num_steps_ = 0;
  std::int64_t num_demoted_ = 0;
  std::vector<std::string> trace_;
};

}  // namespace folio::test
