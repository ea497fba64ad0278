#include "node/wire/state_messages.h"

#include <algorithm>

#include "node/pbft/digests.h"

namespace pbft::wire {
namespace {

constexpr std::size_t hash_bytes = 2 + PairHash::size;
// Namespace, key of a byte, empty value, and the heads of the array and the bins.
constexpr std::size_t least_pair_bytes = 1 + 1 + (2 + 1) + 2;

std::uint32_t read_count(Reader& reader) {
  return static_cast<std::uint32_t>(reader.uint(UINT32_MAX));
}

std::uint32_t read_bucket(Reader& reader) {
  return static_cast<std::uint32_t>(reader.uint(Limits::tree_buckets - 1));
}

// The digest of an empty bucket is known to all and takes a byte, so that a small state makes a small message.
void write_leaf(Writer& writer, const Digest& leaf) {
  leaf == empty_bucket_digest() ? writer.nil() : writer.put(leaf);
}

Digest read_leaf(Reader& reader) {
  if (reader.next_is_nil()) return empty_bucket_digest();
  const Digest leaf = reader.fixed<Digest>();
  reader.require(leaf != empty_bucket_digest(), WireError::not_canonical);
  return leaf;
}

std::vector<PairHash> read_hashes(Reader& reader) {
  const std::size_t count = reader.array(0, Limits::max_bucket_hashes, hash_bytes);
  std::vector<PairHash> hashes;
  hashes.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    const auto hash = reader.fixed<PairHash>();
    if (i > 0) reader.require(hashes.back() < hash, WireError::not_canonical);
    hashes.push_back(hash);
  }
  return hashes;
}

std::vector<std::uint32_t> read_indexes(Reader& reader) {
  const std::size_t count = reader.array(0, Limits::max_bucket_hashes);
  std::vector<std::uint32_t> indexes;
  indexes.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    const auto index = static_cast<std::uint32_t>(reader.uint(Limits::max_bucket_hashes - 1));
    if (i > 0) reader.require(indexes.back() < index, WireError::not_canonical);
    indexes.push_back(index);
  }
  return indexes;
}

StatePair read_pair(Reader& reader) {
  reader.array_of(3);
  StatePair pair;
  pair.name_space = static_cast<Namespace>(reader.uint(static_cast<std::uint8_t>(Namespace::clients)));
  pair.key = reader.bin(Limits::max_key_bytes);
  reader.require(!pair.key.empty(), WireError::out_of_range);
  pair.value = reader.bin(Limits::max_value_bytes);
  return pair;
}

bool precedes(const StatePair& a, const StatePair& b) {
  if (a.name_space != b.name_space) return a.name_space < b.name_space;
  const BytesView x = a.key.view();
  const BytesView y = b.key.view();
  return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end());
}

std::vector<StatePair> read_pairs(Reader& reader) {
  const std::size_t count = reader.array(0, Limits::max_bucket_pairs, least_pair_bytes);
  std::vector<StatePair> pairs;
  pairs.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    StatePair pair = read_pair(reader);
    if (i > 0) reader.require(precedes(pairs.back(), pair), WireError::not_canonical);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::size_t pair_size(const StatePair& pair) {
  return 12 + pair.key.size() + pair.value.size();
}

}  // namespace

Bytes encode_one(const FetchTree& message) {
  Writer writer{Writer::small};
  writer.array(2).type(MessageType::fetch_tree).put(message.n);
  return writer.finish();
}

Bytes encode_one(const Tree& message) {
  const auto empty = std::count(message.leaves.begin(), message.leaves.end(), empty_bucket_digest());
  const std::size_t full = message.leaves.size() - static_cast<std::size_t>(empty);
  Writer writer{7 * Writer::small + message.leaves.size() + full * (1 + Digest::size)};
  write_summary(writer.array(3).type(MessageType::tree), message.summary);
  writer.array(message.leaves.size());
  for (const Digest& leaf : message.leaves) write_leaf(writer, leaf);
  return writer.finish();
}

Bytes encode_one(const FetchBucket& message) {
  Writer writer{Writer::small + message.have.size() * hash_bytes};
  writer.array(5).type(MessageType::fetch_bucket).put(message.n).uint(message.bucket).uint(message.skip);
  writer.array(message.have.size());
  for (const PairHash& hash : message.have) writer.put(hash);
  return writer.finish();
}

Bytes encode_one(const BucketPart& message) {
  std::size_t size = Writer::small + message.wrong.size() * 5;
  for (const StatePair& pair : message.pairs) size += pair_size(pair);
  Writer writer{size};
  writer.array(7).type(MessageType::bucket_part).put(message.n).uint(message.bucket);
  writer.uint(message.skip).uint(message.total).array(message.wrong.size());
  for (const std::uint32_t index : message.wrong) writer.uint(index);
  writer.array(message.pairs.size());
  for (const StatePair& pair : message.pairs) {
    writer.array(3).uint(static_cast<std::uint8_t>(pair.name_space)).put(pair.key).put(pair.value);
  }
  return writer.finish();
}

FetchTree read_fetch_tree(Reader& reader) {
  return {reader.number<SequenceNumber>()};
}

Tree read_tree(Reader& reader) {
  Tree message;
  message.summary = read_summary(reader);
  reader.array_of(Limits::tree_buckets);
  if (!reader.ok()) return message;
  message.leaves.reserve(Limits::tree_buckets);
  for (std::size_t i = 0; i < Limits::tree_buckets && reader.ok(); ++i) message.leaves.push_back(read_leaf(reader));
  return message;
}

FetchBucket read_fetch_bucket(Reader& reader) {
  FetchBucket message;
  message.n = reader.number<SequenceNumber>();
  message.bucket = read_bucket(reader);
  message.skip = read_count(reader);
  message.have = read_hashes(reader);
  return message;
}

BucketPart read_bucket_part(Reader& reader) {
  BucketPart message;
  message.n = reader.number<SequenceNumber>();
  message.bucket = read_bucket(reader);
  message.skip = read_count(reader);
  message.total = read_count(reader);
  message.wrong = read_indexes(reader);
  reader.require(message.skip == 0 || message.wrong.empty(), WireError::not_canonical);
  message.pairs = read_pairs(reader);
  reader.require(std::uint64_t{message.skip} + message.pairs.size() <= message.total, WireError::out_of_range);
  return message;
}

}  // namespace pbft::wire
