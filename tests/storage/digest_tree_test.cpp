// The digest tree against a second implementation, written from the grammar in storage/README.md alone.
#include "storage/digest_tree.h"

#include <sodium.h>

#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

void append(Bytes& to, BytesView bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
void append_little(Bytes& to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

struct Pair {
  std::uint8_t space;
  std::string key;
  std::string value;
};

Digest reference_root(const std::vector<Pair>& pairs) {
  std::vector<std::vector<std::uint16_t>> buckets(4096, std::vector<std::uint16_t>(1024));
  for (const Pair& pair : pairs) {
    Bytes name{pair.space};
    append(name, as_bytes(pair.key));
    const Digest place = tagged_digest("pbft/bucket-of/1", name);
    auto& bucket = buckets[(place.bytes[0] * 256 + place.bytes[1]) % 4096];

    Bytes element{pair.space};
    append_little(element, pair.key.size());
    append(element, as_bytes(pair.key));
    append_little(element, pair.value.size());
    append(element, as_bytes(pair.value));
    const Digest seed = tagged_digest("pbft/element/1", element);
    Bytes stream(2048);
    const Bytes nonce(8);
    crypto_stream_chacha20(stream.data(), stream.size(), nonce.data(), seed.bytes.data());
    for (std::size_t i = 0; i < 1024; ++i) {
      bucket[i] = static_cast<std::uint16_t>(bucket[i] + stream[2 * i] + 256 * stream[2 * i + 1]);
    }
  }
  std::vector<Digest> level;
  for (const auto& bucket : buckets) {
    Bytes bytes;
    for (const std::uint16_t lane : bucket) {
      bytes.push_back(static_cast<std::uint8_t>(lane));
      bytes.push_back(static_cast<std::uint8_t>(lane >> 8));
    }
    level.push_back(tagged_digest("pbft/bucket/1", bytes));
  }
  while (level.size() > 1) {
    std::vector<Digest> above;
    for (std::size_t i = 0; i < level.size(); i += 16) {
      Bytes children;
      for (std::size_t j = 0; j < 16; ++j) append(children, level[i + j].view());
      above.push_back(tagged_digest("pbft/tree/1", children));
    }
    level = above;
  }
  return level.front();
}

void add(DigestTree& tree, const Pair& pair) {
  tree.add(static_cast<Namespace>(pair.space), as_bytes(pair.key), as_bytes(pair.value));
}
void remove(DigestTree& tree, const Pair& pair) {
  tree.remove(static_cast<Namespace>(pair.space), as_bytes(pair.key), as_bytes(pair.value));
}
Digest root(DigestTree& tree) {
  tree.refresh();
  return tree.root();
}

}  // namespace

TEST_CASE("the root is what the grammar says", "[digest_tree]") {
  DigestTree tree;
  CHECK(tree.root() == reference_root({}));
  std::vector<Pair> pairs{{0, "", ""}, {0, "a", "1"}, {1, "a", "1"}, {0, "long", std::string(5000, 'x')}};
  for (int i = 0; i < 200; ++i) pairs.push_back({0, "key" + std::to_string(i), std::to_string(i * i)});
  for (const Pair& pair : pairs) add(tree, pair);
  CHECK(root(tree) == reference_root(pairs));
}

TEST_CASE("the root depends on the content and not on its history", "[digest_tree]") {
  std::mt19937_64 random{1};
  std::vector<Pair> pairs;
  for (int i = 0; i < 300; ++i) pairs.push_back({static_cast<std::uint8_t>(i % 2), std::to_string(i), "v"});
  DigestTree straight;
  for (const Pair& pair : pairs) add(straight, pair);

  DigestTree crooked;
  std::shuffle(pairs.begin(), pairs.end(), random);
  for (const Pair& pair : pairs) {
    add(crooked, {pair.space, pair.key, "an earlier value"});
    if (random() % 3 == 0) crooked.refresh();
  }
  for (const Pair& pair : pairs) {
    remove(crooked, {pair.space, pair.key, "an earlier value"});
    add(crooked, pair);
  }
  CHECK(root(crooked) == root(straight));

  for (const Pair& pair : pairs) remove(crooked, pair);
  CHECK(root(crooked) == DigestTree{}.root());
  for (std::uint32_t bucket = 0; bucket < DigestTree::bucket_count; ++bucket) CHECK(crooked.bucket(bucket) == nullptr);
}

TEST_CASE("different contents have different roots", "[digest_tree]") {
  const std::vector<std::vector<Pair>> contents{{},
                                                {{0, "a", ""}},
                                                {{1, "a", ""}},
                                                {{0, "", "a"}},
                                                {{0, "ab", "c"}},
                                                {{0, "a", "bc"}},
                                                {{0, "a", "1"}, {0, "b", "2"}},
                                                {{0, "a", "2"}, {0, "b", "1"}},
                                                {{0, "a", "1"}, {0, "a", "1"}}};
  std::set<Digest> roots;
  for (const auto& content : contents) {
    DigestTree tree;
    for (const Pair& pair : content) add(tree, pair);
    roots.insert(root(tree));
  }
  CHECK(roots.size() == contents.size());
}

TEST_CASE("only what changed is given for writing, and loading it gives the same root", "[digest_tree]") {
  DigestTree tree;
  for (int i = 0; i < 50; ++i) add(tree, {0, std::to_string(i), "v"});
  const auto first = tree.refresh();
  CHECK(first.size() <= 50);
  CHECK(tree.refresh().empty());
  add(tree, {0, "7", "more"});
  const std::vector<std::uint32_t> expected{DigestTree::bucket_of(Namespace::state, as_bytes("7"))};
  CHECK(tree.refresh() == expected);

  DigestTree loaded;
  for (const std::uint32_t bucket : first) {
    REQUIRE(tree.bucket(bucket) != nullptr);
    loaded.load(bucket, LtHash::from_bytes(tree.bucket(bucket)->bytes()));
  }
  CHECK(root(loaded) == tree.root());
}
