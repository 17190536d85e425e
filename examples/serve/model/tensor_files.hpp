// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tensors of a model directory: model.safetensors, or the shards that model.safetensors.index.json names.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../mapped_file.hpp"
#include "element.hpp"
#include "safetensors.hpp"

namespace serve {

/// The file names that an index names, each once. Throws BadInput. A name must not lead out of the directory.
inline std::set<std::string> read_shard_names(std::string_view text, std::string const& source) {
  Json const index = JsonReader::read(text, source);
  Json const* const map = index.find("weight_map");
  auto const* object = map ? map->get<Json::Object>() : nullptr;
  if (!object || object->members.empty())
    throw BadInput(source + " has no weight_map that names the files of the tensors.");
  std::set<std::string> names;
  for (Json const& member : object->members) {
    auto const* name = member.get<std::string>();
    if (!name || name->empty() || name->find_first_of("/\\:") != std::string::npos || *name == ".." || *name == ".")
      throw BadInput(source + ": the weight_map gives " + member.text() + " for " + json_quote(member.name, 60) +
                     ", which is not the name of a file in the same directory.");
    names.insert(*name);
  }
  return names;
}

/// A matrix as it lies in a file: row after row, in its storage type. Does not own its bytes.
struct Matrix {
  ElementType type = ElementType::f32;
  std::byte const* data = nullptr;
  std::int64_t rows = 0, cols = 0;

  [[nodiscard]] std::byte const* row(std::int64_t r) const { return data + r * cols * element_bytes(type); }
};

/// All tensors of a model directory, by name. Owning, movable; matrices point into the mapped files and live as long as
/// this.
class TensorFiles {
 public:
  /// Opens every file and checks every header. Throws BadInput.
  explicit TensorFiles(std::filesystem::path const& directory) : directory_(directory.string()) {
    static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");
    auto const single = directory / "model.safetensors";
    auto const index = directory / "model.safetensors.index.json";
    if (std::filesystem::exists(single)) {
      open(single);
    } else if (std::filesystem::exists(index)) {
      for (std::string const& name : read_shard_names(read_text(index, 64 << 20), index.string()))
        open(directory / name);
    } else {
      throw BadInput("There are no weights in " + directory_ +
                     ": neither model.safetensors nor model.safetensors.index.json.");
    }
  }

  [[nodiscard]] bool contains(std::string const& name) const { return tensors_.contains(name); }

  /// The matrix called `name`, which must have this shape and be F32, F16 or BF16. Throws BadInput.
  [[nodiscard]] Matrix matrix(std::string const& name, std::int64_t rows, std::int64_t cols) {
    auto const [type, bytes] = find(name, {rows, cols});
    std::span<std::byte const> data = bytes;
    if (reinterpret_cast<std::uintptr_t>(data.data()) % static_cast<std::uintptr_t>(element_bytes(type)) != 0) {
      // The format allows odd offsets. Rare, so such a tensor is copied instead of making every read a slow one.
      data = copies_.emplace_back(data.begin(), data.end());
    }
    return {type, data.data(), rows, cols};
  }

  /// The vector called `name`, widened to float. Throws BadInput.
  [[nodiscard]] std::vector<float> vector(std::string const& name, std::int64_t size) {
    auto const [type, bytes] = find(name, {size});
    std::vector<float> out(static_cast<std::size_t>(size));
    widen(type, bytes.data(), size, out.data());
    return out;
  }

  /// The names of the tensors that nobody asked for.
  [[nodiscard]] std::vector<std::string> unused() const {
    std::vector<std::string> names;
    for (auto const& [name, place] : tensors_)
      if (!place.used) names.push_back(name);
    return names;
  }

  /// "the tensor model.norm.weight is nan at [3]": the first element, by the tensors' names, that is not finite. Empty
  /// when all are. Only the tensors that somebody asked for are looked at. Cost: reads these.
  [[nodiscard]] std::string first_not_finite() const {
    constexpr std::int64_t piece = 1 << 14;
    std::vector<float> numbers(piece);
    for (auto const& [name, place] : tensors_) {
      auto const type = element_type(place.info.dtype);
      if (!place.used || !type) continue;
      std::int64_t const size = (place.info.end - place.info.begin) / element_bytes(*type);
      for (std::int64_t begin = 0; begin < size; begin += piece) {
        std::int64_t const n = std::min(piece, size - begin);
        widen(*type, bytes_of(place).data() + begin * element_bytes(*type), n, numbers.data());
        auto const end = numbers.begin() + n;
        auto const found = std::find_if(numbers.begin(), end, [](float x) { return !std::isfinite(x); });
        if (found != end)
          return "the tensor " + name + " is " + (std::isnan(*found) ? "nan" : "infinite") + " at " +
                 spell(indices(place.info.shape, begin + (found - numbers.begin())));
      }
    }
    return {};
  }

 private:
  struct Place {
    std::size_t file;
    TensorInfo info;
    bool used = false;
  };

  void open(std::filesystem::path const& path) {
    files_.emplace_back(path);
    for (TensorInfo& info : read_safetensors(files_.back().bytes(), path.string())) {
      std::string name = info.name;
      if (!tensors_.emplace(std::move(name), Place{files_.size() - 1, std::move(info), false}).second)
        throw BadInput(path.string() + " holds a tensor that another file of the model holds too.");
    }
  }

  [[nodiscard]] std::pair<ElementType, std::span<std::byte const>> find(std::string const& name,
                                                                        std::vector<std::int64_t> const& shape) {
    auto const found = tensors_.find(name);
    if (found == tensors_.end()) throw BadInput("The tensor " + name + " is missing in " + directory_ + ".");
    TensorInfo const& info = found->second.info;
    if (info.shape != shape)
      throw BadInput("The tensor " + name + " in " + directory_ + " has the shape " + spell(info.shape) +
                     "; config.json asks for " + spell(shape) + ".");
    auto const type = element_type(info.dtype);
    if (!type)
      throw BadInput("The tensor " + name + " in " + directory_ + " has dtype " + info.dtype +
                     "; supported are F32, F16 and BF16.");
    found->second.used = true;
    return {*type, bytes_of(found->second)};
  }

  [[nodiscard]] std::span<std::byte const> bytes_of(Place const& place) const {
    return files_[place.file].bytes().subspan(static_cast<std::size_t>(place.info.begin),
                                              static_cast<std::size_t>(place.info.end - place.info.begin));
  }

  /// Of element `i`, row after row.
  static std::vector<std::int64_t> indices(std::vector<std::int64_t> const& shape, std::int64_t i) {
    std::vector<std::int64_t> out(shape.size());
    for (std::size_t d = shape.size(); d-- > 0; i /= shape[d]) out[d] = i % shape[d];
    return out;
  }

  static std::string spell(std::vector<std::int64_t> const& shape) {
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
    return out + "]";
  }

  std::string directory_;
  std::deque<MappedFile> files_;
  std::map<std::string, Place> tensors_;
  std::deque<std::vector<std::byte>> copies_;
};

}  // namespace serve
