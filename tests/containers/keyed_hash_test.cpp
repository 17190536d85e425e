// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The keyed hash as a function, and under keys that were chosen against a table that uses it.
#include <cstddef>
#include <cstdint>
#include <folio/containers/keyed_hash.hpp>
#include <folio/containers/linear_table.hpp>
#include <folio/error.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

using folio::HashSecret;
using folio::KeyedHash;
using folio::LinearTable;

namespace {

/// A hash that everybody knows: keys that it sends to a few of many places can be computed.
struct PublicHash {
  std::uint64_t operator()(std::uint64_t word) const {
    std::uint64_t const mixed = (word ^ word >> 29) * 0x9E3779B97F4A7C15U;
    return mixed ^ mixed >> 32;
  }
};

/// Words with one upper half whose places are the same by `hash`, in a table of 2^16 places.
template <class H>
std::vector<std::uint64_t> crafted(std::size_t count, H hash) {
  std::vector<std::uint64_t> words;
  for (std::uint64_t word = std::uint64_t{3} << 32; words.size() < count; ++word)
    if ((hash(word) & 0xFFFF) < 16) words.push_back(word);
  return words;
}
std::vector<std::uint64_t> any_words(std::size_t count) {
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> words;
  for (std::size_t i = 0; i < count; ++i) words.push_back(random());
  return words;
}

/// Counts how often keys are compared, which is what long chains cost.
struct Counted {
  std::uint64_t word = 0;
  static inline std::int64_t num_compared = 0;
  [[nodiscard]] bool operator==(Counted const& other) const {
    ++num_compared;
    return word == other.word;
  }
};
template <class H>
struct HashOf {
  H hash;
  [[nodiscard]] auto operator()(Counted const& key) const { return hash(key.word); }
};

/// Comparisons for putting all in, finding all, and taking all out.
template <class H>
std::int64_t comparisons(std::vector<std::uint64_t> const& words, H hash) {
  LinearTable<Counted, HashOf<H>> table({hash});
  Counted::num_compared = 0;
  std::int32_t number = 0;
  for (std::uint64_t const word : words) table.insert({word}, number++);
  for (std::uint64_t const word : words)
    if (table.find({word}) < 0) throw folio::Error("a key is lost");
  for (std::uint64_t const word : words) table.erase({word});
  return Counted::num_compared;
}

/// A keyed hash of a secret that is the same in each run.
KeyedHash drawn(std::mt19937_64& random) {
  HashSecret secret;
  secret.high = random();
  secret.low = random();
  secret.offset = random();
  return {secret};
}

}  // namespace

TEST_CASE("the keyed hash is the function that is written, whatever computes it") {
  HashSecret const secret{0x0123456789ABCDEFU, 0xFEDCBA9876543210U, 0x0F1E2D3C4B5A6978U};
  std::uint64_t const word = 0x8000000100000002U;
  std::uint64_t const sum = 0x0123456789ABCDEFU * 0x80000001U + 0xFEDCBA9876543210U * 2 + 0x0F1E2D3C4B5A6978U;
  CHECK(folio::keyed_hash(secret, word) == sum >> 32);
  CHECK(KeyedHash{secret}(word) == folio::keyed_hash(secret, word));
}

TEST_CASE("keys that were chosen to collide cost what any keys cost") {
  std::size_t const count = 3000;
  std::vector<std::uint64_t> const chosen = crafted(count, PublicHash()), random_ones = any_words(count);
  std::vector<std::uint64_t> in_a_row;
  for (std::size_t i = 0; i < count; ++i) in_a_row.push_back(std::uint64_t{1} << 32 | std::uint64_t{i} << 8);
  CHECK(comparisons(chosen, PublicHash()) >
        20 * comparisons(random_ones, PublicHash()));  // they are what they should be
  // What is promised is the expected cost: one secret in some hundreds may have longer chains. So the mean of many
  // secrets is checked, and always of the same ones.
  int const num_secrets = 100;
  double usual = 0, of_chosen = 0, of_row = 0;
  std::mt19937_64 random(2);
  for (int i = 0; i < num_secrets; ++i) {
    KeyedHash const hash = drawn(random);
    usual += static_cast<double>(comparisons(random_ones, hash));
    of_chosen += static_cast<double>(comparisons(chosen, hash));
    of_row += static_cast<double>(comparisons(in_a_row, hash));
  }
  CHECK(of_chosen < 1.1 * usual);
  CHECK(of_row < 1.1 * usual);
  CHECK(KeyedHash().secret != KeyedHash().secret);
}

TEST_CASE("what is crafted against one secret is nothing to another: each cache has its own") {
  KeyedHash const known{HashSecret{1, 2, 3}};
  auto const chosen = crafted(1000, known);
  std::mt19937_64 random(3);
  KeyedHash const other = drawn(random);
  auto const usual = comparisons(any_words(1000), other);
  CHECK(comparisons(chosen, known) > 10 * usual);
  CHECK(comparisons(chosen, other) < 2 * usual);
}
