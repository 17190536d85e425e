// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runtime/fiber.hpp"

#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using simt::detail::Fiber;

std::vector<std::string> story;

/// Leaves in the middle, with numbers in registers and an exception in the air at times.
void tell() {
  double sum = 0.5;
  story.push_back("begins");
  Fiber::suspend();
  try {
    sum *= 3;
    throw std::runtime_error("caught " + std::to_string(sum));
  } catch (std::exception const& error) {
    story.push_back(error.what());
  }
  Fiber::suspend();
  story.push_back("ends with " + std::to_string(sum));
}

int counter = 0;

void count_to_three() {
  for (int i = 0; i < 3; ++i) {
    ++counter;
    Fiber::suspend();
  }
}

/// Uses most of a stack.
void fill_stack() {
  char volatile space[40000];
  for (std::size_t i = 0; i < sizeof(space); ++i) space[i] = static_cast<char>(i);
  Fiber::suspend();
  counter = space[39999];
}

}  // namespace

TEST_CASE("A fiber goes on where it left") {
  story.clear();
  Fiber fiber;
  fiber.start(65536, tell);
  for (int i = 0; i < 3; ++i) {
    fiber.resume();
    story.push_back("outside");
  }
  REQUIRE(story ==
          std::vector<std::string>{"begins", "outside", "caught 1.500000", "outside", "ends with 1.500000", "outside"});
}

TEST_CASE("A fiber runs one function after another, also after it was left in the middle") {
  Fiber fiber;
  for (int round = 0; round < 3; ++round) {
    story.clear();
    fiber.start(65536, tell);
    for (int i = 0; i <= round; ++i) fiber.resume();
    REQUIRE(story.size() == static_cast<std::size_t>(round) + 1);
    fiber.start(65536 * (1 + static_cast<std::size_t>(round)), count_to_three);
    counter = 0;
    for (int i = 0; i < 4; ++i) fiber.resume();
    REQUIRE(counter == 3);
  }
}

TEST_CASE("Many fibers take turns") {
  std::deque<Fiber> fibers(1000);
  counter = 0;
  for (Fiber& fiber : fibers) fiber.start(65536, count_to_three);
  for (int round = 0; round < 4; ++round)
    for (Fiber& fiber : fibers) fiber.resume();
  REQUIRE(counter == 3000);
}

TEST_CASE("A stack holds what it promises") {
  Fiber fiber;
  fiber.start(65536, fill_stack);
  fiber.resume();
  fiber.resume();
  REQUIRE(counter == static_cast<char>(39999));
}
