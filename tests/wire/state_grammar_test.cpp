// The messages of state transfer: the encodings of the README, byte by byte, and each rule of validity that the decoder
// holds.
#include <catch2/catch.hpp>

#include "tests/wire/literal.h"
#include "tests/wire/samples.h"

namespace pbft::testing {
namespace {

using wire::WireError;

template <class Message>
Message again(const Message& message) {
  return std::get<Message>(wire::decode_peer_message(SharedBytes::own(wire::encode(PeerMessage{message}))).value());
}

StatePair pair(Namespace name_space, std::string_view key, std::string_view value = "v") {
  return {name_space, SharedBytes::own(to_bytes(key)), SharedBytes::own(to_bytes(value))};
}

// ---- Trees -------------------------------------------------------------------------------------------------

TEST_CASE("a tree has the bytes of the grammar, and an empty bucket takes one") {
  CHECK(wire::encode(PeerMessage{FetchTree{SequenceNumber{128}}}) == Bytes{0x92, 14, 0xcc, 128});

  const CheckpointSummary summary{SequenceNumber{2}, filled<Digest>(3), filled<Digest>(4),
                                  Timestamp{5},      Epoch{6},          filled<Digest>(7)};
  Tree tree{summary, std::vector<Digest>(4096, empty_bucket_digest())};
  tree.leaves[1] = filled<Digest>(8);
  const Bytes start = joined({{0x93, 15, 0x96, 2}, bin_of(32, 3), bin_of(32, 4), {5, 6}, bin_of(32, 7)});
  const Bytes bytes = joined({start, {0xdc, 0x10, 0x00, 0xc0}, bin_of(32, 8), Bytes(4094, 0xc0)});
  CHECK(wire::encode(PeerMessage{tree}) == bytes);
  CHECK(again(tree).summary == tree.summary);
  CHECK(again(tree).leaves == tree.leaves);

  // The digest of an empty bucket, written out.
  const BytesView empty = empty_bucket_digest().view();
  const Bytes written_out =
      joined({start, {0xdc, 0x10, 0x00, 0xc4, 32}, Bytes{empty.begin(), empty.end()}, Bytes(4095, 0xc0)});
  CHECK(problem(written_out) == WireError::not_canonical);
  // Another number of leaves.
  CHECK(problem(joined({start, {0xdc, 0x0f, 0xff}, Bytes(4095, 0xc0)})) == WireError::wrong_arity);
  CHECK(problem(joined({start, {0xdc, 0x10, 0x01}, Bytes(4097, 0xc0)})) == WireError::wrong_arity);
  CHECK(problem(joined({start, {0xdc, 0x10, 0x00}, Bytes(4095, 0xc0)})) == WireError::truncated);
}

// ---- Buckets -----------------------------------------------------------------------------------------------

TEST_CASE("a fetch of a bucket has the bytes of the grammar") {
  const FetchBucket fetch{SequenceNumber{128}, 4095, 2, {filled<PairHash>(1), filled<PairHash>(3)}};
  CHECK(wire::encode(PeerMessage{fetch}) ==
        joined({{0x95, 16, 0xcc, 128, 0xcd, 0x0f, 0xff, 2, 0x92}, bin_of(16, 1), bin_of(16, 3)}));
  CHECK(again(fetch).n == fetch.n);
  CHECK(again(fetch).bucket == fetch.bucket);
  CHECK(again(fetch).skip == fetch.skip);
  CHECK(again(fetch).have == fetch.have);
}

TEST_CASE("what a fetch of a bucket has ascends, is bounded, and is of a bucket that exists") {
  const auto with = [](std::uint32_t bucket, std::vector<PairHash> have) {
    return problem(FetchBucket{SequenceNumber{1}, bucket, 0, std::move(have)});
  };
  CHECK(with(4095, {}) == std::nullopt);
  CHECK(with(4096, {}) == WireError::out_of_range);
  CHECK(with(0, {filled<PairHash>(2), filled<PairHash>(1)}) == WireError::not_canonical);
  CHECK(with(0, {filled<PairHash>(2), filled<PairHash>(2)}) == WireError::not_canonical);

  std::vector<PairHash> many(Limits::max_bucket_hashes + 1);
  for (std::uint32_t i = 0; i < many.size(); ++i) {
    for (std::size_t at = 0; at < 4; ++at) many[i].bytes[at] = static_cast<std::uint8_t>(i >> (24 - 8 * at));
  }
  CHECK(with(0, many) == WireError::out_of_range);
  many.pop_back();
  CHECK(with(0, many) == std::nullopt);
}

TEST_CASE("a part of a bucket has the bytes of the grammar") {
  BucketPart part{SequenceNumber{128}, 5, 0, 9, {1, 200}, {}};
  part.pairs = {pair(Namespace::state, "ab", "c"), pair(Namespace::clients, "a", "")};
  CHECK(wire::encode(PeerMessage{part}) == Bytes{0x97, 17, 0xcc, 128, 5,    0, 9,   0x92, 1, 0xcc, 200, 0x92, 0x93, 0,
                                                 0xc4, 2,  'a',  'b', 0xc4, 1, 'c', 0x93, 1, 0xc4, 1,   'a',  0xc4, 0});
  CHECK(again(part).n == part.n);
  CHECK(again(part).bucket == part.bucket);
  CHECK(again(part).skip == part.skip);
  CHECK(again(part).total == part.total);
  CHECK(again(part).wrong == part.wrong);
  CHECK(again(part).pairs == part.pairs);
}

TEST_CASE("pairs of a part ascend by namespace and key") {
  const auto with = [](std::vector<StatePair> pairs) {
    return problem(BucketPart{SequenceNumber{1}, 0, 0, 100, {}, std::move(pairs)});
  };
  const auto state = [](std::string_view key) { return pair(Namespace::state, key); };
  const auto client = [](std::string_view key) { return pair(Namespace::clients, key); };
  CHECK(with({}) == std::nullopt);
  CHECK(with({state("a"), state("aa"), state("b"), state("\xff"), client("a")}) == std::nullopt);
  CHECK(with({state("a"), state("a")}) == WireError::not_canonical);
  CHECK(with({state("aa"), state("a")}) == WireError::not_canonical);
  CHECK(with({state("\xff"), state("a")}) == WireError::not_canonical);
  CHECK(with({client("a"), state("b")}) == WireError::not_canonical);
  CHECK(with({pair(static_cast<Namespace>(2), "a")}) == WireError::out_of_range);
}

TEST_CASE("keys, values and the number of pairs have their limits") {
  const auto with = [](std::size_t key, std::size_t value) {
    return problem(BucketPart{SequenceNumber{1},
                              0,
                              0,
                              1,
                              {},
                              {{Namespace::state, SharedBytes::own(Bytes(key)), SharedBytes::own(Bytes(value))}}});
  };
  CHECK(with(1, 0) == std::nullopt);
  CHECK(with(Limits::max_key_bytes, Limits::max_value_bytes) == std::nullopt);
  CHECK(with(0, 1) == WireError::out_of_range);
  CHECK(with(Limits::max_key_bytes + 1, 1) == WireError::out_of_range);
  CHECK(with(1, Limits::max_value_bytes + 1) == WireError::out_of_range);

  const auto many = [](std::size_t count) {
    BucketPart part{SequenceNumber{1}, 0, 0, UINT32_MAX, {}, {}};
    for (std::size_t i = 0; i < count; ++i) {
      Bytes key(4);
      for (std::size_t at = 0; at < 4; ++at) key[at] = static_cast<std::uint8_t>(i >> (24 - 8 * at));
      part.pairs.push_back({Namespace::state, SharedBytes::own(std::move(key)), {}});
    }
    return problem(part);
  };
  CHECK(many(Limits::max_bucket_pairs) == std::nullopt);
  CHECK(many(Limits::max_bucket_pairs + 1) == WireError::out_of_range);
}

TEST_CASE("the parts of an answer fit into its total") {
  const auto with = [](std::uint32_t skip, std::uint32_t total) {
    return problem(
        BucketPart{SequenceNumber{1}, 0, skip, total, {}, {pair(Namespace::state, "a"), pair(Namespace::state, "b")}});
  };
  CHECK(with(0, 2) == std::nullopt);
  CHECK(with(7, 9) == std::nullopt);
  CHECK(with(7, 100) == std::nullopt);
  CHECK(with(0, 1) == WireError::out_of_range);
  CHECK(with(7, 8) == WireError::out_of_range);
  CHECK(with(UINT32_MAX, UINT32_MAX) == WireError::out_of_range);
  CHECK(with(UINT32_MAX - 2, UINT32_MAX) == std::nullopt);
}

TEST_CASE("what is wrong with a bucket ascends, and is said in the first part") {
  const auto with = [](std::uint32_t skip, std::vector<std::uint32_t> wrong) {
    return problem(BucketPart{SequenceNumber{1}, 0, skip, 10, std::move(wrong), {}});
  };
  CHECK(with(0, {0, 1, 499'999}) == std::nullopt);
  CHECK(with(0, {1, 1}) == WireError::not_canonical);
  CHECK(with(0, {2, 1}) == WireError::not_canonical);
  CHECK(with(0, {500'000}) == WireError::out_of_range);
  CHECK(with(1, {0}) == WireError::not_canonical);
  CHECK(with(1, {}) == std::nullopt);
}

TEST_CASE("counts of hashes, indexes and pairs beyond the input are refused before anything is reserved") {
  // 500,000 hashes, as many indexes, 65,536 pairs: announced, with bytes for a part of them.
  const Bytes half_million{0xdd, 0x00, 0x07, 0xa1, 0x20};
  CHECK(problem(joined({{0x95, 16, 1, 0, 0}, half_million, Bytes(500'000, 0xc4)})) == WireError::truncated);
  CHECK(problem(joined({{0x97, 17, 1, 0, 0, 0}, half_million, Bytes(400'000, 0)})) == WireError::truncated);
  CHECK(problem(joined({{0x97, 17, 1, 0, 0, 0, 0x90, 0xdd, 0x00, 0x01, 0x00, 0x00}, Bytes(65'536, 0x93)})) ==
        WireError::truncated);
}

}  // namespace
}  // namespace pbft::testing
