// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/prefix/key_table.hpp>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"

using folio::KeyTable;
using folio::PrefixAttribute;
using folio::PrefixScope;
using folio::test::contains;
using Kind = folio::PrefixAttribute::Kind;
using Symbols = std::vector<std::int32_t>;

namespace {

Symbols const tokens{5, 5, 5, 5, 5, 5, 5, 5};

Symbols with(KeyTable& table, std::vector<PrefixAttribute> const& attributes, Symbols const& of = tokens) {
  return table.symbols(of, attributes);
}

}  // namespace

TEST_CASE("plain tokens are their own symbols, in scope 0") {
  KeyTable table;
  CHECK(table.symbols(tokens) == tokens);
  CHECK(table.scope({}) == 0);
  CHECK(table.size() == 0);
}

TEST_CASE("no field of a scope is another, whatever it holds") {
  KeyTable table;
  std::set<std::int32_t> scopes{0};
  std::string const zero(1, '\0'), eight_zeros(8, '\0');
  std::vector<std::string_view> const values{"", "a", "b", "ab", "s", zero, eight_zeros};
  std::size_t count = 0;
  for (auto const& model : values)
    for (auto const& adapter : values)
      for (auto const& position : values)
        for (auto const& salt : values) {
          scopes.insert(table.scope({model, adapter, position, salt}));
          ++count;
        }
  CHECK(scopes.size() == count);
  CHECK(table.scope({.adapter = "a"}) == table.scope({.adapter = "a"}));
  CHECK(table.scope({.adapter = "a"}) != table.scope({.salt = "a"}));  // a salt that is called like an adapter
}

TEST_CASE("an image is told by its content, its length and where it stands") {
  KeyTable table;
  auto const one = with(table, {{Kind::media, "digest-1", 2, 3}});
  CHECK(one == with(table, {{Kind::media, "digest-1", 2, 3}}));
  CHECK(one != tokens);
  CHECK(one != with(table, {{Kind::media, "digest-2", 2, 3}}));
  CHECK(one != with(table, {{Kind::media, "digest-1", 3, 3}}));  // the same placeholders, one token further
  CHECK(one != with(table, {{Kind::media, "digest-1", 2, 4}}));
  CHECK(one != with(table, {{Kind::embeddings, "digest-1", 2, 3}}));
  Symbols other = tokens;
  other[2] = 6;
  CHECK(one != with(table, {{Kind::media, "digest-1", 2, 3}}, other));
  for (std::size_t i = 0; i < tokens.size(); ++i) CHECK((one[i] < 0) == (i == 2));  // one symbol carries it
}

TEST_CASE("two images in another order are another prefix; the order of the list means nothing") {
  KeyTable table;
  PrefixAttribute const a{Kind::media, "a", 1, 2}, b{Kind::media, "b", 4, 2};
  CHECK(with(table, {a, b}) == with(table, {b, a}));
  CHECK(with(table, {a, b}) != with(table, {{Kind::media, "b", 1, 2}, {Kind::media, "a", 4, 2}}));
  PrefixAttribute const adapter{Kind::adapter, "b", 1, 2};
  CHECK(with(table, {a, adapter}) == with(table, {adapter, a}));
  CHECK(with(table, {a, adapter}) != with(table, {{Kind::adapter, "a", 1, 2}, {Kind::media, "b", 1, 2}}));
  CHECK(with(table, {{Kind::media, "ab", 1, 2}, {Kind::media, "c", 1, 2}}) !=
        with(table, {{Kind::media, "a", 1, 2}, {Kind::media, "bc", 1, 2}}));
}

TEST_CASE("an opening stays shared where the rest is private") {
  KeyTable table;
  auto const plain = table.symbols(tokens);
  auto const mine = with(table, {{Kind::salt, "me", 4}}), yours = with(table, {{Kind::salt, "you", 4}});
  CHECK(std::equal(plain.begin(), plain.begin() + 4, mine.begin()));
  CHECK(std::equal(mine.begin(), mine.begin() + 4, yours.begin()));
  CHECK(mine[4] != yours[4]);
  CHECK(mine[4] != plain[4]);
}

TEST_CASE("a private rest is the same prefix however long it is") {
  KeyTable table;
  Symbols longer = tokens;
  longer.push_back(7);
  auto const shorter = with(table, {{Kind::salt, "me", 4}}), grown = with(table, {{Kind::salt, "me", 4}}, longer);
  CHECK(std::equal(shorter.begin(), shorter.end(), grown.begin()));
}

TEST_CASE("numbers are never given twice, and what is forgotten gets a new one") {
  KeyTable table(8);
  std::set<std::int32_t> numbers;
  for (int i = 0; i < 100; ++i) {
    std::string const name = std::to_string(i);
    CHECK(numbers.insert(table.scope({.salt = name})).second);
    CHECK(table.size() <= 8);
  }
  CHECK(numbers.count(table.scope({.salt = "0"})) == 0);
  CHECK(table.scope({.salt = "99"}) == 100);
}

TEST_CASE("the bytes of a name say what it is, and are there until its number is forgotten") {
  KeyTable table(8);
  std::int32_t const scope = table.scope({.model = "m", .salt = "salt"});
  Symbols const symbols = with(table, {{Kind::media, "pixels", 1, 2}});
  auto const field = [](std::string const& bytes) {
    return static_cast<char>(bytes.size()) + std::string(7, '\0') + bytes;
  };
  std::string const number = std::string(1, '\5') + std::string(3, '\0'),
                    two = std::string(1, '\2') + std::string(3, '\0');
  CHECK(table.name_of(scope) == "s" + field("m") + field("") + field("") + field("salt"));
  CHECK(table.name_of(-symbols[1]) == "a" + number + field("\1" + two + field("pixels")));
  CHECK(table.name_of(0).empty());
  CHECK(table.name_of(3).empty());
  CHECK(table.name_of(-1).empty());
  CHECK(table.name_of(std::int64_t{1} << 40).empty());
  for (int i = 0; i < 3; ++i) static_cast<void>(table.scope({.salt = std::to_string(i)}));
  CHECK(table.scope({.model = "m", .salt = "salt"}) == scope);  // asked for again
  for (int i = 3; i < 6; ++i) static_cast<void>(table.scope({.salt = std::to_string(i)}));
  CHECK(table.name_of(scope).substr(0, 1) == "s");
  CHECK(table.name_of(-symbols[1]).empty());  // it was not
}

TEST_CASE("a name for which there is no memory is not given") {
  auto const make = [] { return std::make_unique<KeyTable>(64); };
  auto const name = [](KeyTable& table) {
    static_cast<void>(table.scope({.salt = "a name that is too long to be kept without an allocation"}));
  };
  auto const failures = folio::test::for_every_failure_anew(make, name, [](KeyTable& table, std::int64_t) {
    if (table.size() != 0 || !table.name_of(1).empty()) throw std::logic_error("half of a name is there");
  });
  CHECK(failures > 2);
  auto const made = make();
  KeyTable& table = *made;
  name(table);
  CHECK(table.size() == 1);
  CHECK_FALSE(table.name_of(1).empty());
}

TEST_CASE("bad attributes and tokens are refused in a sentence") {
  KeyTable table;
  CHECK_THROWS_WITH(with(table, {{Kind::media, "a", 6, 3}}),
                    contains("folio: an attribute covers tokens 6 to 8 of a prefix of 8"));
  CHECK_THROWS_WITH(with(table, {{Kind::media, "a", -1, 3}}),
                    contains("folio: an attribute covers tokens -1 to 1 of a prefix of 8"));
  CHECK_THROWS_WITH(with(table, {{Kind::media, "a", 2, 0}}),
                    contains("folio: an attribute covers tokens 2 to 1 of a prefix of 8; it must cover at least one"));
  CHECK_THROWS_WITH(with(table, {{Kind::salt, "a", 8}}),
                    contains("folio: an attribute covers tokens 8 to 7 of a prefix of 8"));
  CHECK_THROWS_WITH(table.symbols(Symbols{1, -4}), contains("token 1 is -4"));
  CHECK(table.size() == 0);
}
