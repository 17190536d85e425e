// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The tree of symbols alone, without blocks, sequences or policies: against a set of arrays.
#include <algorithm>
#include <folio/prefix/radix_tree.hpp>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using folio::test::below;

using Symbols = std::vector<std::int32_t>;

/// Sends every key to the same place: whatever hashing could get wrong, it gets wrong.
struct OneHash {
  std::uint64_t operator()(std::int32_t, std::int32_t) const noexcept { return 7; }
};

struct Ends {
  bool ends = false;  // an array that was added ends with the node
};

/// Arrays below scopes, kept as an index keeps them: split where they part, joined again where nothing does.
template <class Hash>
class Words {
 public:
  using Tree = RadixTree<Ends, Hash>;

  void add(std::int32_t scope, Symbols const& word) {
    tree.reserve_nodes(4);
    std::int32_t node = tree.root_of(scope);
    std::int32_t const same = tree.follow(node, 0, word);
    if (!tree.ends_at(tree.at(node), same) && same != tree.at(node).begin) {
      auto& tail = tree.at(node);
      auto& head = tree.upper_part(tail, same);
      tree.split(head, tail);
      node = head.index;
    } else if (same == tree.at(node).begin && !tree.is_root(tree.at(node))) {
      node = tree.at(node).parent;
    }
    if (same < static_cast<std::int32_t>(word.size())) {
      auto& leaf = tree.new_node();
      leaf.begin = same;
      leaf.symbols.assign(word.begin() + same, word.end());
      leaf.first_symbol = leaf.symbols.front();
      tree.link(tree.at(node), leaf);
      node = leaf.index;
    }
    tree.at(node).ends = true;
  }

  void erase(std::int32_t scope, Symbols const& word) {
    std::int32_t node = tree.child(Tree::no_node, scope);
    REQUIRE(tree.follow(node, 0, word) == static_cast<std::int32_t>(word.size()));
    tree.at(node).ends = false;
    while (!tree.is_root(tree.at(node)) && !tree.at(node).ends && tree.at(node).first_child == Tree::no_node) {
      auto& gone = tree.at(node);
      node = gone.parent;
      tree.unlink(gone);
      tree.free_node(gone);
    }
    if (tree.is_root(tree.at(node))) return tree.drop_if_empty(node);
    std::int32_t const child = tree.at(node).first_child;
    if (tree.at(node).ends || child == Tree::no_node || !tree.only_child(tree.at(child))) return;
    auto& parent = tree.at(node);
    parent.symbols.reserve(parent.symbols.size() + tree.at(child).symbols.size());
    tree.join_parent(tree.at(child));
  }

  /// Every array that is in it, from the nodes themselves.
  [[nodiscard]] std::set<std::pair<std::int32_t, Symbols>> all() const {
    std::set<std::pair<std::int32_t, Symbols>> words;
    std::map<std::int32_t, std::pair<std::int32_t, Symbols>> paths;  // by node
    tree.for_each_node([&](auto const& node) {
      auto const above = tree.is_root(tree.at(node.parent)) ? std::pair(tree.at(node.parent).first_symbol, Symbols())
                                                            : paths.at(node.parent);
      auto path = above;
      REQUIRE(static_cast<std::int32_t>(path.second.size()) == node.begin);
      REQUIRE(node.first_symbol == node.symbols.front());
      path.second.insert(path.second.end(), node.symbols.begin(), node.symbols.end());
      if (node.ends) words.insert(path);
      paths[node.index] = path;
    });
    return words;
  }

  Tree tree;
};

}  // namespace

TEST_CASE("common_prefix finds the first difference, wherever it is") {
  Symbols a(1000);
  std::iota(a.begin(), a.end(), 1);
  for (std::int32_t const n : {0, 1, 2, 255, 256, 257, 511, 512, 513, 1000}) {
    CHECK(common_prefix(a.data(), a.data(), n) == n);
    for (std::int32_t const at : {0, 1, 254, 255, 256, 257, 511, 512, 767, 768, 999}) {
      Symbols b = a;
      b[static_cast<std::size_t>(at)] = -1;
      CHECK(common_prefix(a.data(), b.data(), n) == std::min(n, at));
    }
  }
}

TEMPLATE_TEST_CASE("a radix tree is a set of arrays, whatever is added and erased, and whatever the hash", "",
                   ChildHash, OneHash) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    Words<TestType> words;
    std::set<std::pair<std::int32_t, Symbols>> model;
    auto const some_word = [&] {
      Symbols word(static_cast<std::size_t>(1 + below(random, 12)));
      for (std::int32_t& symbol : word) symbol = below(random, 3) - 1;
      return word;
    };
    for (int step = 0; step < 400; ++step) {
      std::int32_t const scope = below(random, 3) - 1;
      if (below(random, 3) != 0 || model.empty()) {
        Symbols const word = some_word();
        words.add(scope, word);
        model.emplace(scope, word);
      } else {
        auto const one = std::next(model.begin(), below(random, static_cast<std::int32_t>(model.size())));
        words.erase(one->first, one->second);
        model.erase(one);
      }
      REQUIRE(words.all() == model);
      // What is found of an array is the longest beginning of one that is there.
      Symbols const word = some_word();
      std::int32_t longest = 0;
      for (auto const& [in, other] : model)
        if (in == scope)
          longest = std::max(longest, common_prefix(word.data(), other.data(),
                                                    static_cast<std::int32_t>(std::min(word.size(), other.size()))));
      std::int32_t node = words.tree.child(Words<TestType>::Tree::no_node, scope);
      REQUIRE(words.tree.follow(node, 0, word) == longest);
      if (longest > 0) {
        auto const& found = words.tree.at(node);
        REQUIRE((found.begin < longest && longest <= found.end()));
        std::int32_t again = words.tree.above(node, 1);  // from a node further up, from where it begins
        REQUIRE(words.tree.follow(again, words.tree.at(again).begin, word) == longest);
        REQUIRE(again == node);
      }
    }
    while (!model.empty()) {
      words.erase(model.begin()->first, model.begin()->second);
      model.erase(model.begin());
    }
    CHECK(words.tree.size() == 0);
    CHECK(words.tree.child(Words<TestType>::Tree::no_node, 0) == Words<TestType>::Tree::no_node);
  }
}
