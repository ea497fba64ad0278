// The replicated state as an engine, or a snapshot of one, has it: the pairs as they are now, and as they were at the
// checkpoints since which undo is there. A pair is named by its namespace as one byte and its key: names in byte order
// are pairs in order.
#pragma once

#include <map>
#include <string>

#include "node/pbft/digests.h"
#include "storage/engine.h"
#include "storage/lthash.h"
#include "storage/tree_rows.h"

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

[[nodiscard]] inline std::optional<BytesView> as_view(const std::optional<Bytes>& value) {
  return value ? std::optional<BytesView>{*value} : std::nullopt;
}

// A value of family undo: what the pair had at the start of the interval.
[[nodiscard]] Bytes encode_before(const std::optional<BytesView>& value);
struct Before {
  BytesView name;
  std::optional<BytesView> value;
};
void put_before(WriteBatch& batch, std::uint64_t interval, const Before& before);
// Nothing where key and value are no entry of undo. Views into both.
[[nodiscard]] std::optional<Before> decode_before(BytesView key, BytesView value);

// A pair in the list of its bucket: what its value was when the list was made is told by its hash.
struct ListedPair {
  Bytes name;
  PairHash hash;
};
[[nodiscard]] inline PairHash hash_of(BytesView name, BytesView value) {
  return pair_hash(space_of(name), key_of(name), value);
}

// A pair, or none, takes the place of another one, or none.
struct Step {
  std::optional<BytesView> from;
  std::optional<BytesView> to;
};

// Family tree: one row; all that are not empty.
[[nodiscard]] Result<LtHash> load_bucket(const Reader& reader, const std::string& where, std::uint32_t bucket);
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
  [[nodiscard]] Result<std::vector<ListedPair>> listed(std::uint32_t bucket) const;
  // What family undo holds of this interval and all later ones, in their order. An error that `each` gives ends it.
  using VisitUndo = std::function<Result<void>(std::uint64_t interval, const Before& before)>;
  [[nodiscard]] Result<void> visit_undo(SequenceNumber from, const VisitUndo& each) const;
  [[nodiscard]] Result<Changes> changes_since(SequenceNumber checkpoint) const;
  // What leads from the rows of family tree to the buckets at the checkpoint n, one or two calls for each pair.
  using VisitStep = std::function<void(std::uint32_t bucket, BytesView name, const Step& step)>;
  [[nodiscard]] Result<void> visit_steps(const TreeRows& rows, SequenceNumber n, const VisitStep& each) const;

  // The pairs of a bucket, ascending, at the checkpoint that `changes` began at, and as they are now; the latter with
  // the changes of the current interval. No value is read of what did not change: it may be another than its hash says.
  [[nodiscard]] Result<std::vector<ListedPair>> pairs_at(std::uint32_t bucket, const Changes& changes) const;
  [[nodiscard]] Result<std::vector<ListedPair>> pairs_now(std::uint32_t bucket, const Changes& changes) const;
  // What these pairs had at the checkpoint that `changes` began at, at which all of them were there. Names ascend.
  [[nodiscard]] Result<std::vector<Bytes>> values(const std::vector<const Bytes*>& names,
                                                  const Changes::OfBucket& changes) const;
  // The pairs as they are now, with their values. `changes` are those of the current interval.
  using Visit = std::function<void(const Bytes& name, Bytes&& value)>;
  [[nodiscard]] Result<void> visit_now(std::uint32_t bucket, const Changes& changes, const Visit& each) const;

 private:
  using Find = std::function<Result<std::optional<Bytes>>(const Bytes& name, std::uint64_t first_interval)>;
  [[nodiscard]] Result<std::vector<std::optional<Bytes>>> now_all(const std::vector<const Bytes*>& names) const;
  [[nodiscard]] tl::unexpected<StorageError> damaged(const std::string& what) const;
  // The list of the bucket, with what `find` says of what changed.
  [[nodiscard]] Result<std::vector<ListedPair>> merged(std::uint32_t bucket, const Changes& changes,
                                                       const Find& find) const;

  const Reader* reader_;
  std::string where_;
};

}  // namespace pbft::storage
