// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <folio/containers/segmented_array.hpp>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using folio::SegmentedArray;

namespace {

struct Counted {
  Counted() { ++living; }
  Counted(Counted const&) = delete;
  Counted& operator=(Counted const&) = delete;
  ~Counted() { --living; }
  std::size_t number = 0;
  static inline int living = 0;
};

}  // namespace

TEST_CASE("elements of a segmented array stay where they are while it grows, and are destroyed once") {
  {
    SegmentedArray<Counted> array;
    std::vector<Counted*> places;
    for (std::size_t i = 0; i < 5000; ++i) {
      places.push_back(&array.emplace_back());
      places.back()->number = i;
      REQUIRE(array.size() == i + 1);
      REQUIRE(array.capacity() >= i + 1);
    }
    bool all = true;
    for (std::size_t i = 0; i < 5000; ++i) all = all && &array[i] == places[i] && array[i].number == i;
    CHECK(all);
    CHECK(Counted::living == 5000);
    SegmentedArray<Counted> other = std::move(array);
    CHECK(array.size() == 0);
    CHECK(&other[4999] == places[4999]);
    SegmentedArray<Counted> third;
    third.emplace_back();
    third = std::move(other);
    CHECK(Counted::living == 5000);
    CHECK(&third[16] == places[16]);
    array.emplace_back();  // what was moved from begins again
    CHECK(array.size() == 1);
  }
  CHECK(Counted::living == 0);
}

TEST_CASE("room that was reserved makes no elements, and is used before there is more") {
  SegmentedArray<Counted> array;
  CHECK(array.capacity() == 0);
  array.reserve(100);
  std::size_t const room = array.capacity();
  CHECK(room >= 100);
  CHECK(Counted::living == 0);
  for (std::size_t i = 0; i < room; ++i) array.emplace_back();
  CHECK(array.capacity() == room);
}
