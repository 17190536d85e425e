// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "model/safetensors.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fuzz_seeds.hpp"
#include "model/tensor_files.hpp"
#include "scratch_folder.hpp"
#include "support/catch.hpp"

using folio::test::contains;
using serve::test::safetensors_file;

namespace {

std::vector<serve::TensorInfo> read(std::string const& file) {
  return serve::read_safetensors(std::as_bytes(std::span(file)), "it");
}

}  // namespace

TEST_CASE("A safetensors header gives every tensor's place", "[serve]") {
  std::string const header =
      R"({"__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},)"
      R"( "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "c": {"dtype": "I8", "shape": [0, 9], "data_offsets": [16, 16]}})";
  auto const tensors = read(safetensors_file(header, 16));
  auto const data = static_cast<std::int64_t>(8 + header.size());
  REQUIRE(tensors.size() == 3);
  CHECK(tensors[0].name == "a");
  CHECK(tensors[1].name == "b");
  CHECK(tensors[1].dtype == "BF16");
  CHECK(tensors[1].shape == std::vector<std::int64_t>{2, 3});
  CHECK(tensors[1].begin == data + 4);
  CHECK(tensors[1].end == data + 16);
  CHECK(tensors[2].end == data + 16);
}

TEST_CASE("A scalar has an empty shape", "[serve]") {
  CHECK(read(safetensors_file(R"({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})", 4)).size() == 1);
}

TEST_CASE("Broken safetensors files are refused with a sentence", "[serve]") {
  auto const one = [](std::string const& tensor, std::size_t data_bytes) {
    return safetensors_file("{\"a\": " + tensor + "}", data_bytes);
  };
  CHECK_THROWS_WITH(read(""), contains("is truncated: a safetensors file has at least 8 bytes."));
  CHECK_THROWS_WITH(read(std::string(8, '\xFF')), contains("is not a safetensors file"));
  CHECK_THROWS_WITH(read(std::string("\x10\0\0\0\0\0\0\0{}", 10)),
                    contains("its header takes 16 bytes, but only 2 follow"));
  CHECK_THROWS_WITH(read(safetensors_file("[]", 0)), contains("The header of it is not a JSON object."));
  CHECK_THROWS_WITH(read(safetensors_file("{", 0)), contains("not valid JSON"));
  CHECK_THROWS_WITH(read(one("1", 0)), contains("\"a\" has no dtype"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F33", "shape": [1], "data_offsets": [0, 4]})", 4)),
                    contains("unknown dtype \"F33\""));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]})", 4)),
                    contains("its shape is [-1]"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]})", 4)),
                    contains("its shape is [1.5]"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "data_offsets": [0, 4]})", 4)), contains("its shape should be"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]})", 4)),
                    contains("not a begin and an end"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [0]})", 4)),
                    contains("not a begin and an end"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]})", 4)),
                    contains("takes 4 bytes, but its shape and dtype take 8"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]})", 0)),
                    contains("2^63"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})", 3)),
                    contains("ends at byte 4 of the data, but there are only 3."));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})", 5)),
                    contains("1 bytes after the last tensor"));
  CHECK_THROWS_WITH(read(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]})", 8)),
                    contains("begins at byte 4"));
  CHECK_THROWS_WITH(read(safetensors_file(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},)"
                                          R"( "b": {"dtype": "U8", "shape": [4], "data_offsets": [3, 7]}})",
                                          7)),
                    contains("\"b\" begins at byte 3 of the data, but the one before it ends at 4"));
  CHECK_THROWS_WITH(read(safetensors_file(R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},)"
                                          R"( "a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}})",
                                          2)),
                    contains("appears twice"));
}

TEST_CASE("Tensors are found in one file or in shards", "[serve]") {
  auto const tensor = [](std::string const& name, std::string const& dtype, int bytes) {
    return "{\"" + name + "\": {\"dtype\": \"" + dtype + "\", \"shape\": [1, 2], \"data_offsets\": [0, " +
           std::to_string(bytes) + "]}}";
  };
  serve::test::ScratchFolder const folder;
  CHECK_THROWS_WITH(serve::TensorFiles(folder.path()), contains("There are no weights"));
  folder.write("model.safetensors.index.json", R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  folder.write("one.safetensors", safetensors_file(tensor("a", "F16", 4), 4));
  CHECK_THROWS_WITH(serve::TensorFiles(folder.path()), contains("two.safetensors does not exist"));
  folder.write("two.safetensors", safetensors_file(tensor("b", "I32", 8), 8));
  serve::TensorFiles files(folder.path());
  CHECK(files.matrix("a", 1, 2).type == serve::ElementType::f16);
  CHECK(reinterpret_cast<std::uintptr_t>(files.matrix("a", 1, 2).data) % 2 == 0);
  CHECK_THROWS_WITH(files.matrix("c", 1, 2), contains("The tensor c is missing"));
  CHECK_THROWS_WITH(files.matrix("a", 2, 1), contains("has the shape [1, 2]; config.json asks for [2, 1]"));
  CHECK_THROWS_WITH(files.matrix("b", 1, 2), contains("has dtype I32; supported are F32, F16 and BF16"));
}

TEST_CASE("Of tensors that are not finite, one that is used is named", "[serve]") {
  auto const tensor = [](std::string const& name, int begin) {
    return "\"" + name + "\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [" + std::to_string(begin) + ", " +
           std::to_string(begin + 4) + "]}";
  };
  std::string file = safetensors_file("{" + tensor("a", 0) + ", " + tensor("b", 4) + ", " + tensor("c", 8) + "}", 0);
  for (std::string const half : {"\x01\x7E", "\x01\x7E", "\x01\x3C", "\x01\x7C", "\x01\x3C", "\x01\x3C"}) file += half;
  serve::test::ScratchFolder const folder;
  folder.write("model.safetensors", file);
  serve::TensorFiles files(folder.path());
  CHECK(files.first_not_finite().empty());
  (void)files.vector("c", 2);
  CHECK(files.first_not_finite().empty());
  (void)files.vector("b", 2);
  CHECK(files.first_not_finite() == "the tensor b is nan at [1]");
}

TEST_CASE("A shard index must stay in its directory", "[serve]") {
  CHECK_THROWS_WITH(serve::read_shard_names(R"({"weight_map": {"a": "../b"}})", "it"),
                    contains("not the name of a file in the same directory"));
  CHECK_THROWS_WITH(serve::read_shard_names(R"({"weight_map": {"a": 1}})", "it"), contains("not the name of a file"));
  CHECK_THROWS_WITH(serve::read_shard_names("{}", "it"), contains("no weight_map"));
}

TEST_CASE("Halves widen exactly", "[serve]") {
  CHECK(serve::from_bf16(0x3FC0) == 1.5f);
  CHECK(serve::from_f16(0x3E00) == 1.5f);
  CHECK(serve::from_f16(0xC000) == -2.0f);
  CHECK(serve::from_f16(0x0001) == 0x1p-24f);
  CHECK(serve::from_f16(0x83FF) == -1023 * 0x1p-24f);
  CHECK(serve::from_f16(0x7BFF) == 65504.0f);
  CHECK(serve::from_f16(0x7C00) == std::numeric_limits<float>::infinity());
  float const nan = serve::from_f16(0x7E01);
  CHECK(nan != nan);
}
