// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The model of a tokenizer.json, byte-level BPE: from a piece of text to the ids of its tokens.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../model/llama_config.hpp"
#include "../utf8.hpp"
#include "tokenizer.hpp"

namespace serve {

/// The bytes that a token of a byte-level vocabulary spells: it has a printable character for each byte. Nothing for a
/// text with another character.
[[nodiscard]] inline std::optional<std::string> bytes_of_spelling(std::string_view spelled) {
  static auto const bytes = [] {  // by code point; GPT-2's alphabet: what is printable stands for itself
    std::array<std::int16_t, 324> table{};
    table.fill(-1);
    std::size_t next = 256;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      bool const printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
      table[printable ? byte : next++] = static_cast<std::int16_t>(byte);
    }
    return table;
  }();
  std::string out;
  while (!spelled.empty()) {
    CodePoint const c = first_code_point(spelled);
    if (c.bytes == 0 || c.code >= bytes.size() || bytes[c.code] < 0) return std::nullopt;
    out += static_cast<char>(static_cast<unsigned char>(bytes[c.code]));
    spelled.remove_prefix(c.bytes);
  }
  return out;
}

/// A vocabulary of bytes and its merges.
class BytePairs {
 public:
  /// From the field "model". `vocab`: that of the model, which all ids are below. Throws UnsupportedTokenizer for
  /// another model than byte-level BPE, BadInput for what contradicts itself.
  BytePairs(ConfigReader const& file, std::int32_t vocab) : source_(file.source() + ": model") {
    Json const* const json = file.present("model");
    if (!json) file.refuse("model", "it should be an object");
    ConfigReader const model{*json, source_};
    refuse_what_changes_ids(model);
    ignore_merges_ = model.boolean("ignore_merges", false);
    read_vocab(model, vocab);
    read_merges(model);
  }

  /// The ids of a piece, at the end of `out`. Bytes that the vocabulary does not have give none. Cost: n log n.
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const {
    if (ignore_merges_) {
      if (auto const id = ids_.find(piece); id != ids_.end()) return out.push_back(id->second);
    }
    std::vector<Symbol> symbols;
    symbols.reserve(piece.size());
    for (char const c : piece)
      if (std::int32_t const id = byte_ids_[static_cast<unsigned char>(c)]; id >= 0) {
        auto const at = static_cast<std::int32_t>(symbols.size());
        symbols.push_back({id, at - 1, at + 1});
      }
    if (symbols.empty()) return;
    symbols.back().next = none;
    merge(symbols);
    for (std::int32_t at = 0; at != none; at = symbols[index(at)].next) out.push_back(symbols[index(at)].id);
  }

  /// Every token by its id, as (id, bytes); a token that spells no bytes is its own text.
  [[nodiscard]] std::vector<std::pair<std::int32_t, std::string>> const& tokens() const { return tokens_; }

 private:
  static constexpr std::int32_t none = -1;

  struct Symbol {
    std::int32_t id, previous, next;  // places in the list, or none; id is none for what was merged into the one before
  };
  struct Merge {
    std::int32_t rank, id;
  };
  struct Candidate {
    std::int32_t rank, at, id;
    [[nodiscard]] bool operator>(Candidate const& o) const { return rank != o.rank ? rank > o.rank : at > o.at; }
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  static std::size_t index(std::int32_t at) { return static_cast<std::size_t>(at); }
  static std::uint64_t pair(std::int32_t first, std::int32_t second) {
    return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint32_t>(second);
  }

  void refuse_what_changes_ids(ConfigReader const& model) const {
    if (std::string const type = model.string("type", "BPE"); type != "BPE")
      throw UnsupportedTokenizer(source_ + " is of the type " + json_quote(type, 40) + "; serve knows BPE");
    for (char const* const field : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      Json const* const value = model.present(field);
      bool const empty = value && value->get<std::string>() && value->get<std::string>()->empty();
      if (value && !empty) throw UnsupportedTokenizer(source_ + " has " + field + ", which serve does not know");
    }
  }

  void read_vocab(ConfigReader const& model, std::int32_t vocab) {
    Json const* const json = model.present("vocab");
    if (!json || !json->get<Json::Object>()) model.refuse("vocab", "it should be an object of tokens and their ids");
    byte_ids_.fill(none);
    for (Json const& token : json->get<Json::Object>()->members) {
      auto const* const number = token.get<std::int64_t>();
      if (!number || *number < 0 || *number >= vocab)
        throw BadInput(source_ + ": the id of the token " + json_quote(token.name, 40) + " is " + token.text() +
                       "; it should be an integer from 0 to " + std::to_string(vocab - 1) + ".");
      auto const id = static_cast<std::int32_t>(*number);
      std::optional<std::string> const bytes = bytes_of_spelling(token.name);
      if (bytes && !bytes->empty()) ids_.emplace(*bytes, id);
      if (bytes && bytes->size() == 1) byte_ids_[static_cast<unsigned char>(bytes->front())] = id;
      tokens_.emplace_back(id, bytes.value_or(token.name));
    }
    bool const has_unknown = model.present("unk_token") || model.boolean("byte_fallback", false);
    for (std::int32_t const id : byte_ids_)
      if (id == none && has_unknown)
        throw UnsupportedTokenizer(source_ + " has unk_token or byte_fallback, and a vocab without some of the bytes");
  }

  void read_merges(ConfigReader const& model) {
    Json const* const json = model.present("merges");
    if (!json || !json->get<Json::Array>()) model.refuse("merges", "it should be a list of pairs of tokens");
    merges_.reserve(json->get<Json::Array>()->size());
    std::int32_t rank = 0;
    for (Json const& merge : *json->get<Json::Array>()) {
      auto const* const text = merge.get<std::string>();
      if (text && text->starts_with("#version")) continue;
      std::string_view first, second;
      if (text) {  // "a b"
        std::size_t const space = text->find(' ');
        first = std::string_view(*text).substr(0, space);
        if (space != std::string::npos) second = std::string_view(*text).substr(space + 1);
      } else if (auto const* const list = merge.get<Json::Array>(); list && list->size() == 2) {  // ["a", "b"]
        if (auto const* const one = list->front().get<std::string>()) first = *one;
        if (auto const* const one = list->back().get<std::string>()) second = *one;
      }
      auto const a = bytes_of_spelling(first), b = bytes_of_spelling(second);
      auto const left = a ? ids_.find(*a) : ids_.end(), right = b ? ids_.find(*b) : ids_.end();
      auto const both = left != ids_.end() && right != ids_.end() ? ids_.find(*a + *b) : ids_.end();
      if (both == ids_.end())
        throw BadInput(source_ + ": merge " + std::to_string(rank + 1) + " is " + merge.text() +
                       "; it should be two tokens of the vocab whose concatenation is one, too.");
      merges_.insert_or_assign(pair(left->second, right->second), Merge{rank++, both->second});
    }
  }

  /// Merges neighbours, of the lowest rank first, of equals the leftmost, until no two can be. A candidate whose
  /// symbols have changed is passed over when its turn comes.
  void merge(std::vector<Symbol>& symbols) const {
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
    auto const consider = [&](std::int32_t at) {
      if (at == none || symbols[index(at)].next == none) return;
      auto const found = merges_.find(pair(symbols[index(at)].id, symbols[index(symbols[index(at)].next)].id));
      if (found != merges_.end()) candidates.push({found->second.rank, at, found->second.id});
    };
    for (std::size_t at = 0; at + 1 < symbols.size(); ++at) consider(static_cast<std::int32_t>(at));
    while (!candidates.empty()) {
      Candidate const best = candidates.top();
      candidates.pop();
      Symbol& left = symbols[index(best.at)];
      if (left.id == none || left.next == none) continue;
      Symbol& right = symbols[index(left.next)];
      auto const found = merges_.find(pair(left.id, right.id));
      if (found == merges_.end() || found->second.id != best.id) continue;
      left.id = best.id;
      left.next = right.next;
      right.id = none;
      if (left.next != none) symbols[index(left.next)].previous = best.at;
      consider(left.previous);
      consider(best.at);
    }
  }

  std::string source_;
  bool ignore_merges_ = false;
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;  // by their bytes
  std::array<std::int32_t, 256> byte_ids_{};
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::vector<std::pair<std::int32_t, std::string>> tokens_;
};

}  // namespace serve
