// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file's bytes, without copying them where the system can: weights stay on disk until they are touched.

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "bad_input.hpp"

#if __has_include(<sys/mman.h>)
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace serve {

/// A whole small text file. Throws BadInput when it is missing, cannot be read, or is larger than `limit_bytes`.
inline std::string read_text(std::filesystem::path const& path, std::uintmax_t limit_bytes) {
  std::error_code error;
  auto const status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw BadInput("The file " + path.string() + " does not exist.");
  if (!std::filesystem::is_regular_file(status)) throw BadInput(path.string() + " is not a regular file.");
  auto const size = std::filesystem::file_size(path, error);
  if (!error && size > limit_bytes)
    throw BadInput(path.string() + " has " + std::to_string(size) + " bytes; at most " + std::to_string(limit_bytes) +
                   " are read.");
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) throw BadInput("The file " + path.string() + " cannot be read.");
  return text;
}

/// A file's bytes for reading, as long as this object lives. Owning, movable. Mapped where mmap exists, else read.
class MappedFile {
 public:
  /// Throws BadInput when the file is missing or cannot be read.
  explicit MappedFile(std::filesystem::path const& path) {
    std::error_code error;
    auto const status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) throw BadInput("The file " + path.string() + " does not exist.");
    if (!std::filesystem::is_regular_file(status)) throw BadInput(path.string() + " is not a regular file.");
    auto const size = static_cast<std::size_t>(std::filesystem::file_size(path, error));
    if (error || !load(path, size)) throw BadInput("The file " + path.string() + " cannot be read.");
  }
  MappedFile(MappedFile&& other) noexcept
      : bytes_(std::exchange(other.bytes_, {})),
        copy_(std::move(other.copy_)),
        mapped_(std::exchange(other.mapped_, false)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(copy_, other.copy_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }
  ~MappedFile() {
#if __has_include(<sys/mman.h>)
    if (mapped_) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
#endif
  }

  [[nodiscard]] std::span<std::byte const> bytes() const { return bytes_; }

 private:
  bool load(std::filesystem::path const& path, std::size_t size) {
#if __has_include(<sys/mman.h>)
    if (size == 0) return true;  // an empty mapping is an error, an empty file is not
    int const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    if (start == MAP_FAILED) return false;
    mapped_ = true;
    bytes_ = {static_cast<std::byte const*>(start), size};
    return true;
#else
    std::ifstream in(path, std::ios::binary);
    copy_.resize(size);
    in.read(reinterpret_cast<char*>(copy_.data()), static_cast<std::streamsize>(size));
    bytes_ = copy_;
    return static_cast<std::size_t>(in.gcount()) == size;
#endif
  }

  std::span<std::byte const> bytes_;
  std::vector<std::byte> copy_;
  bool mapped_ = false;
};

}  // namespace serve
