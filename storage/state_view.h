// The replicated state as an engine, or a snapshot of one, has it: the pairs as they are now, and as they were at the
// checkpoints since which undo is there. A pair is named by its namespace as one byte and its key: names in byte order
// are pairs in order.
#pragma once

#include <map>
#include <string>

#include "node/pbft/messages.h"
#include "storage/engine.h"
#include "storage/lthash.h"

namespace pbft::storage {

[[nodiscard]] Bytes pair_name(Namespace name_space, BytesView key);
[[nodiscard]] inline Namespace space_of(BytesView name) {
  return static_cast<Namespace>(name[0]);
}
[[nodiscard]] inline BytesView key_of(BytesView name) {
  return name.subspan(1);
}
[[nodiscard]] inline Family family_of(Namespace name_space) {
  return name_space == Namespace::state ? Family::state : Family::clients;
}
// Something of the repairable families is not what it should be.
[[nodiscard]] StorageError damage_error(const std::string& where, const std::string& what);

// A value of family undo: what the pair had at the start of the interval.
[[nodiscard]] Bytes encode_before(const std::optional<Bytes>& value);
struct Before {
  BytesView name;
  std::optional<BytesView> value;
};
// Nothing where key and value are no entry of undo. Views into both.
[[nodiscard]] std::optional<Before> decode_before(BytesView key, BytesView value);

// Family tree: the buckets that are not empty.
[[nodiscard]] Result<std::map<std::uint32_t, LtHash>> load_buckets(const Reader& reader, const std::string& where);

// Which pairs changed since a checkpoint, by bucket, each with the first interval in which it did: what it had at the
// start of that one, it had at the checkpoint. Holds no values.
class Changes {
 public:
  using OfBucket = std::map<Bytes, std::uint64_t>;  // name -> interval

  void add(std::uint64_t interval, BytesView name);
  [[nodiscard]] const OfBucket& in(std::uint32_t bucket) const;
  [[nodiscard]] const std::map<std::uint32_t, OfBucket>& all() const { return buckets_; }

 private:
  std::map<std::uint32_t, OfBucket> buckets_;
};

// Reads only. The reader must outlive it. Errors of kind damaged where the state is not what it should be.
class StateView {
 public:
  // `where` names the store in errors.
  StateView(const Reader& reader, std::string where) : reader_(&reader), where_(std::move(where)) {}

  [[nodiscard]] const Reader& reader() const { return *reader_; }
  [[nodiscard]] const std::string& where() const { return where_; }

  [[nodiscard]] Result<std::optional<Bytes>> now(BytesView name) const;
  // What it had at the start of the interval, in which it changed.
  [[nodiscard]] Result<std::optional<Bytes>> before(std::uint64_t interval, BytesView name) const;
  // The same; the outer optional is empty where it did not change in that interval.
  [[nodiscard]] Result<std::optional<std::optional<Bytes>>> find_before(std::uint64_t interval, BytesView name) const;
  // The pairs of the bucket at the checkpoint that was taken last, ascending.
  [[nodiscard]] Result<std::vector<Bytes>> listed(std::uint32_t bucket) const;
  [[nodiscard]] Result<Changes> changes_since(SequenceNumber checkpoint) const;

  // The bucket at the checkpoint that `changes` began at: its pairs ascending, and each one's value. `changes` goes to
  // the present: it holds at least all of the current interval.
  [[nodiscard]] Result<std::optional<Bytes>> value(BytesView name, const Changes::OfBucket& changes) const;
  using Visit = std::function<void(const Bytes& name, Bytes&& value)>;
  [[nodiscard]] Result<void> visit(std::uint32_t bucket, const Changes& changes, const Visit& each) const;
  // The same as the state is now; `changes` are those of the current interval.
  [[nodiscard]] Result<void> visit_now(std::uint32_t bucket, const Changes& changes, const Visit& each) const;

 private:
  [[nodiscard]] tl::unexpected<StorageError> damaged(const std::string& what) const;
  [[nodiscard]] Result<std::vector<Bytes>> candidates(std::uint32_t bucket, const Changes::OfBucket& changes) const;

  const Reader* reader_;
  std::string where_;
};

}  // namespace pbft::storage
