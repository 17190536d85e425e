// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The safetensors format: eight bytes of header length, a JSON header, and the tensors' bytes one after the other.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"

namespace serve {

/// One tensor of a safetensors file: what it is, and where its bytes lie in the file.
struct TensorInfo {
  std::string name;
  std::string dtype;  ///< as the file spells it: "F32", "BF16", ...
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;  ///< bytes from the start of the file
};

/// Bytes of one element, or nothing when the format does not know the type.
inline std::optional<std::int64_t> dtype_bytes(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::int64_t> known[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  for (auto const& [name, bytes] : known)
    if (name == dtype) return bytes;
  return std::nullopt;
}

namespace safetensors {

/// a * b for numbers that are not negative, or nothing when it does not fit.
inline std::optional<std::int64_t> product(std::int64_t a, std::int64_t b) {
  if (a != 0 && b > std::numeric_limits<std::int64_t>::max() / a) return std::nullopt;
  return a * b;
}

inline std::vector<std::int64_t> sizes(Json const* json, std::string const& what) {
  auto const* array = json ? json->get<Json::Array>() : nullptr;
  if (!array) throw BadInput(what + " should be a list of integers.");
  std::vector<std::int64_t> out;
  for (Json const& element : *array) {
    auto const* integer = element.get<std::int64_t>();
    if (!integer || *integer < 0) throw BadInput(what + " is " + json->text() + "; it should hold integers from 0 up.");
    out.push_back(*integer);
  }
  return out;
}

inline TensorInfo tensor(Json const& member, std::string const& source) {
  std::string const what = source + ": tensor " + json_quote(member.name, 60);
  TensorInfo info;
  info.name = member.name;
  Json const* const dtype = member.find("dtype");
  if (!dtype || !dtype->get<std::string>()) throw BadInput(what + " has no dtype.");
  info.dtype = *dtype->get<std::string>();
  auto const element_bytes = dtype_bytes(info.dtype);
  if (!element_bytes) throw BadInput(what + " has the unknown dtype " + dtype->text() + ".");
  info.shape = sizes(member.find("shape"), what + ": its shape");
  auto const offsets = sizes(member.find("data_offsets"), what + ": its data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    throw BadInput(what + " has data_offsets that are not a begin and an end.");
  info.begin = offsets[0];
  info.end = offsets[1];

  std::optional<std::int64_t> bytes = *element_bytes;
  for (std::int64_t const n : info.shape) bytes = bytes ? product(*bytes, n) : bytes;
  if (!bytes || *bytes != info.end - info.begin)
    throw BadInput(what + " takes " + std::to_string(info.end - info.begin) + " bytes, but its shape and dtype take " +
                   (bytes ? std::to_string(*bytes) : std::string("more than 2^63")) + ".");
  return info;
}

}  // namespace safetensors

/// Reads the header of a safetensors file that lies in memory. Everything is checked: the header is valid, every
/// tensor's bytes are as many as its shape says, and the tensors fill the rest of the file without gap or overlap.
/// Order: by place in the file. Cost: O(header). Throws BadInput; `source` names the file in the message.
inline std::vector<TensorInfo> read_safetensors(std::span<std::byte const> file, std::string const& source) {
  constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own limit
  if (file.size() < 8) throw BadInput(source + " is truncated: a safetensors file has at least 8 bytes.");
  std::uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i)
    header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(file[static_cast<std::size_t>(i)]);
  if (header_bytes > max_header_bytes)
    throw BadInput(source + " is not a safetensors file: it announces a header of " + std::to_string(header_bytes) +
                   " bytes.");
  if (header_bytes > file.size() - 8)
    throw BadInput(source + " is truncated: its header takes " + std::to_string(header_bytes) + " bytes, but only " +
                   std::to_string(file.size() - 8) + " follow.");
  std::string_view const text(reinterpret_cast<char const*>(file.data()) + 8, static_cast<std::size_t>(header_bytes));
  Json const header = JsonReader::read(text, "The header of " + source);
  auto const* object = header.get<Json::Object>();
  if (!object) throw BadInput("The header of " + source + " is not a JSON object.");

  std::vector<TensorInfo> tensors;
  for (Json const& member : object->members)
    if (member.name != "__metadata__") tensors.push_back(safetensors::tensor(member, source));
  std::sort(tensors.begin(), tensors.end(), [](TensorInfo const& a, TensorInfo const& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });

  auto const data = static_cast<std::int64_t>(8 + header_bytes);
  auto const data_bytes = static_cast<std::int64_t>(file.size()) - data;
  std::int64_t filled = 0;
  for (TensorInfo& tensor : tensors) {
    if (tensor.end > data_bytes)
      throw BadInput(source + " is truncated: tensor " + json_quote(tensor.name, 60) + " ends at byte " +
                     std::to_string(tensor.end) + " of the data, but there are only " + std::to_string(data_bytes) +
                     ".");
    if (tensor.begin != filled)
      throw BadInput(source + " is corrupt: tensor " + json_quote(tensor.name, 60) + " begins at byte " +
                     std::to_string(tensor.begin) + " of the data, but the one before it ends at " +
                     std::to_string(filled) + ".");
    filled = tensor.end;
    tensor.begin += data;
    tensor.end += data;
  }
  if (filled != data_bytes)
    throw BadInput(source + " is corrupt: " + std::to_string(data_bytes - filled) +
                   " bytes after the last tensor belong to none.");
  return tensors;
}

}  // namespace serve
