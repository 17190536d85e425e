// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// --chat: a prompt as the first message of a chat, in the format that the model was trained on.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../mapped_file.hpp"
#include "../model/llama_config.hpp"
#include "tokenizer.hpp"

namespace serve {
namespace chat {

/// A model's chat template, and the file that has it.
struct Template {
  std::string text, file;
};

/// chat_template.jinja, else chat_template of tokenizer_config.json; of several the one called default. Nothing where
/// there is none. Throws BadInput for a file that is broken.
[[nodiscard]] inline std::optional<Template> find_template(std::filesystem::path const& directory) {
  constexpr std::uintmax_t most_bytes = 64 << 20;
  if (auto const file = directory / "chat_template.jinja"; std::filesystem::exists(file))
    return Template{read_text(file, most_bytes), file.string()};
  auto const file = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  Json const json = JsonReader::read(read_text(file, most_bytes), file.string());
  ConfigReader const config(json, file.string());
  Json const* found = config.present("chat_template");
  if (!found) return std::nullopt;
  if (auto const* const several = found->get<Json::Array>())
    for (Json const& one : *several)
      if (Json const* const name = one.find("name"); name && name->text() == "\"default\"")
        found = one.find("template");
  if (!found || !found->get<std::string>())
    config.refuse("chat_template", "it should be a string, or a list with a default");
  return Template{*found->get<std::string>(), file.string()};
}

/// The system message that a template of ChatML has for chats without one: where it spells it in one piece.
[[nodiscard]] inline std::optional<std::string> default_system(std::string_view text) {
  constexpr std::string_view begin = "<|im_start|>system", end = "<|im_end|>";
  for (std::size_t at = text.find(begin); at != std::string_view::npos; at = text.find(begin, at + 1)) {
    std::string_view message = text.substr(at + begin.size());
    message = message.substr(0, message.find(end));
    std::size_t const line_end = message.starts_with("\n") ? 1 : message.starts_with("\\n") ? 2 : 0;
    message.remove_prefix(line_end);
    if (line_end > 0 && !message.empty() && message.find_first_of("'\"{}\\") == std::string_view::npos)
      return std::string(message);
  }
  return std::nullopt;
}

}  // namespace chat

/// Another tokenizer, whose prompts are what a user says: a special token that one spells is text as any other. Two
/// formats are known: ChatML, and that of Llama 3. Which one it is, the chat template says: it names <|im_start|> and
/// <|im_end|>, or <|start_header_id|> and <|eot_id|>. Where there is none, the added tokens say it. The template itself
/// is not run.
class ChatTokenizer final : public Tokenizer {
 public:
  /// `system`: the system message; without it the one that a ChatML template has for this case, else none. Throws
  /// BadInput when prompts are token ids, with the reason, or the tokenizer has no added tokens; when the format is not
  /// known, one of its tokens is not the tokenizer's or takes white space beside it (lstrip, rstrip), or the tokenizer
  /// cannot read the system message.
  ChatTokenizer(std::unique_ptr<Tokenizer> tokenizer, std::filesystem::path const& directory,
                std::optional<std::string> system)
      : tokenizer_(std::move(tokenizer)), system_(std::move(system)) {
    bool const system_is_given = system_.has_value();
    if (auto const* const ids = dynamic_cast<IdTokenizer const*>(tokenizer_.get()))
      throw BadInput("--chat is not possible: " + ids->why() + ", so prompts are token ids.");
    std::optional<chat::Template> const found = chat::find_template(directory);
    auto const names = [&](std::string_view token) {
      return found ? found->text.find(token) != std::string::npos : tokenizer_->added_token(token).has_value();
    };
    if (names("<|im_start|>") && names("<|im_end|>") && !names("<|im_sep|>")) {
      format_ = {"ChatML", {"<|im_start|>", ""}, {"", "\n"}, {"<|im_end|>", "\n"}, false};
      if (found && !system_) system_ = chat::default_system(found->text);
    } else if (names("<|start_header_id|>") && names("<|eot_id|>")) {
      format_ = {"Llama 3", {"<|start_header_id|>", ""}, {"<|end_header_id|>", "\n\n"}, {"<|eot_id|>", ""}, true};
    } else {
      throw BadInput(
          "--chat is not possible: " +
          (found ? found->file + " has a chat template" : directory.string() + " has no chat template, and tokens") +
          " of neither ChatML (<|im_start|>) nor Llama 3 (<|start_header_id|>).");
    }
    if (!tokenizer_->has_added_tokens())
      throw BadInput("--chat is not possible: " + std::string(format_.name) +
                     "'s tokens are added tokens of a tokenizer.json, and " + directory.string() + " is read by " +
                     std::string(tokenizer_->name()) + ".");
    for (Part* const part : {&format_.before_role, &format_.after_role, &format_.after_message})
      if (!part->token.empty()) ids_.push_back(part->id = id_of(part->token, directory));
    if (system_)
      name_text(system_is_given ? "--system" : "The system message of " + found->file,
                [&] { tokenizer_->check(*system_); });
    has_bos_ = found ? names("bos_token") : format_.trims;
  }

  [[nodiscard]] std::string_view name() const override { return format_.name; }
  void check(std::string_view text) const override { tokenizer_->check(text); }
  /// A chat of one message, up to where the answer begins. Throws BadText also for what is empty as a message of the
  /// format.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    check(text);  // before the template is around it, so that a message counts its bytes
    if (trimmed(text).empty()) throw BadText("is empty.");
    std::vector<std::int32_t> tokens = beginning();
    std::string pending;  // since the last token: encoded as one text, in which a message's beginning counts
    auto const encode_pending = [&] {
      std::vector<std::int32_t> const more = tokenizer_->encode_as_text(pending, ids_);
      tokens.insert(tokens.end(), more.begin(), more.end());
      pending.clear();
    };
    auto const add = [&](Part const& part, std::string_view after) {
      if (!part.token.empty()) {
        encode_pending();
        tokens.push_back(part.id);
      }
      pending.append(part.text).append(after);
    };
    auto const add_message = [&](std::string_view role, std::string_view message) {
      add(format_.before_role, role);
      add(format_.after_role, trimmed(message));
      add(format_.after_message, "");
    };
    if (system_) add_message("system", *system_);
    add_message("user", text);
    add(format_.before_role, "assistant");
    add(format_.after_role, "");
    encode_pending();
    return tokens;
  }
  [[nodiscard]] std::vector<std::int32_t> beginning() const override {
    return has_bos_ ? tokenizer_->beginning() : std::vector<std::int32_t>{};
  }
  [[nodiscard]] std::string decode(std::span<std::int32_t const> tokens) const override {
    return tokenizer_->decode(tokens);
  }
  [[nodiscard]] std::string normal_form(std::string_view text) const override { return tokenizer_->normal_form(text); }
  [[nodiscard]] bool has_added_tokens() const override { return true; }
  [[nodiscard]] std::optional<std::int32_t> added_token(std::string_view text) const override {
    return tokenizer_->added_token(text);
  }

 private:
  /// A token, or none, and the text after it.
  struct Part {
    std::string_view token, text;
    std::int32_t id = -1;
  };
  struct Format {
    std::string_view name;
    Part before_role, after_role, after_message;
    bool trims = false;  ///< white space around a message
  };

  /// Of a token of the format. Text is encoded apart from it, so it may not take any.
  [[nodiscard]] std::int32_t id_of(std::string_view token, std::filesystem::path const& directory) const {
    auto const refuse = [&](std::string const& why) {
      throw BadInput("--chat is not possible: " + std::string(token) + why + directory.string() + ", whose chats are " +
                     std::string(format_.name) + "'s.");
    };
    std::optional<std::int32_t> const id = tokenizer_->added_token(token);
    if (!id) refuse(" is no token of ");
    std::vector<std::int32_t> const line_end = tokenizer_->encode_as_text("\n", {});
    std::vector<std::int32_t> apart = line_end;
    apart.push_back(*id);
    apart.insert(apart.end(), line_end.begin(), line_end.end());
    if (tokenizer_->encode_plain("\n" + std::string(token) + "\n") != apart)
      refuse(" takes the white space beside it (lstrip, rstrip) in ");
    return *id;
  }

  /// A message as the format has it.
  [[nodiscard]] std::string_view trimmed(std::string_view message) const {
    if (constexpr std::string_view space = " \t\n\v\f\r"; format_.trims) {
      message.remove_prefix(std::min(message.find_first_not_of(space), message.size()));
      message = message.substr(0, message.find_last_not_of(space) + 1);
    }
    return message;
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<std::string> system_;
  Format format_;
  std::vector<std::int32_t> ids_;  // of the format's tokens
  bool has_bos_ = false;           // the template begins with bos_token, as the tokenizer's prompts do
};

}  // namespace serve
