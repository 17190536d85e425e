// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pre_tokenizer of a tokenizer.json: which pieces of a text are encoded each by itself?

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "../json.hpp"
#include "../model/llama_config.hpp"
#include "split_patterns.hpp"
#include "tokenizer.hpp"

namespace serve {

/// Cuts a text into pieces, step by step: each cuts the pieces of the one before it. They stay bytes; ByteLevel's
/// alphabet, a printable character for each byte, is only how vocabularies spell them.
class PreTokenizer {
 public:
  /// From the field "pre_tokenizer": ByteLevel, or a Sequence of Split and Digits that ends with it. Throws
  /// UnsupportedTokenizer for others, BadInput for a field of a wrong type.
  explicit PreTokenizer(ConfigReader const& file) {
    if (Json const* const json = file.present("pre_tokenizer"))
      add(ConfigReader{*json, file.source() + ": pre_tokenizer"});
    if (!ends_with_bytes_)
      throw UnsupportedTokenizer(file.source() + " has no pre_tokenizer ByteLevel, so its tokens are not bytes");
  }

  /// Calls sink(piece) for each piece of a text of UTF-8, in order. A piece lives as long as the call.
  template <class Sink>
  void split(std::string_view text, Sink const& sink) const {
    split_from(0, text, sink);
  }

 private:
  struct Step {
    FirstPiece first_piece;
    bool prefix_space;  ///< before a piece that begins with none
  };

  void add(ConfigReader const& step) {
    constexpr std::size_t most_steps = 16;
    std::string const type = step.string("type", "");
    if (ends_with_bytes_ || steps_.size() == most_steps)
      throw UnsupportedTokenizer(step.source() + " has a step " + json_quote(type, 40) + " after ByteLevel or after " +
                                 std::to_string(most_steps) + " others");
    if (type == "Sequence") {
      Json const* const steps = step.present("pretokenizers");
      if (!steps || !steps->get<Json::Array>()) step.refuse("pretokenizers", "it should be a list");
      for (Json const& one : *steps->get<Json::Array>()) add(ConfigReader{one, step.source()});
    } else if (type == "ByteLevel") {
      bool const by_regex = step.boolean("use_regex", true);
      steps_.push_back(
          {by_regex ? split_patterns::first_of_gpt2 : split_patterns::whole, step.boolean("add_prefix_space", true)});
      ends_with_bytes_ = true;
    } else if (type == "Digits") {
      bool const each = step.boolean("individual_digits", false);
      steps_.push_back(
          {each ? split_patterns::first_of_digits<1> : split_patterns::first_of_digits<split_patterns::any_number>,
           false});
    } else if (type == "Split") {
      steps_.push_back({pattern_of(step), false});
    } else {
      throw UnsupportedTokenizer(step.source() + " is of the type " + json_quote(type, 40) +
                                 "; serve knows Sequence, Split, Digits and ByteLevel");
    }
  }

  static FirstPiece pattern_of(ConfigReader const& split) {
    std::string const behavior = split.string("behavior", "");
    if (behavior != "Isolated" || split.boolean("invert", false))
      throw UnsupportedTokenizer(split.source() + " has a Split whose behavior is " + json_quote(behavior, 40) +
                                 ", or inverted; serve knows Isolated");
    Json const* const pattern = split.present("pattern");
    Json const* const regex = pattern ? pattern->find("Regex") : nullptr;
    if (!regex || !regex->get<std::string>()) split.refuse("pattern", "it should have a Regex");
    FirstPiece const known = split_patterns::find(*regex->get<std::string>());
    if (!known)
      throw UnsupportedTokenizer(split.source() + " splits by " + json_quote(*regex->get<std::string>(), 400) +
                                 "; serve knows the expressions of GPT-2, Llama 3 and Qwen2");
    return known;
  }

  template <class Sink>
  void split_from(std::size_t step, std::string_view text, Sink const& sink) const {
    if (step == steps_.size()) return sink(text);
    std::string with_space;
    if (steps_[step].prefix_space && !text.empty() && text.front() != ' ') {
      with_space = " " + std::string(text);
      text = with_space;
    }
    while (!text.empty()) {
      std::size_t const bytes = steps_[step].first_piece(text);
      split_from(step + 1, text.substr(0, bytes), sink);
      text.remove_prefix(bytes);
    }
  }

  std::vector<Step> steps_;
  bool ends_with_bytes_ = false;
};

}  // namespace serve
