// An ordered key-value engine with column families and atomic batches: RocksDB in the node, memory in simulation.
// All storage logic (journal, state, ledger, checkpoints) is written once above this interface.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/pbft/types.h"

namespace pbft::storage {

enum class Family : std::uint8_t {
  meta,
  batches,
  journal,
  ledger,
  state,
  undo,
  clients,
  tree,
  checkpoints,
  buckets,
  staging,
  count_
};
inline constexpr std::size_t family_count = static_cast<std::size_t>(Family::count_);
[[nodiscard]] const char* to_string(Family family);
// The replicated state, what is derived from it, and what was fetched of it. What is lost of these the other replicas
// can give back; of all others they cannot.
inline constexpr Family repairable_families[] = {Family::state, Family::clients, Family::undo,
                                                 Family::tree,  Family::buckets, Family::staging};
[[nodiscard]] bool is_repairable(Family family);

struct StorageError {
  enum class Kind : std::uint8_t {
    io,
    corrupt,
    damaged,  // as corrupt, but in repairable families only
    no_space,
    missing,
    mismatch,
    older_format,
    newer_format,
    locked,
    exists
  };
  Kind kind;
  std::string message;  // names path and what to do
};
template <class T>
using Result = tl::expected<T, StorageError>;

// Atomic: all of it or none of it. Copies what it is given, into one buffer; that stays when the batch is cleared.
class WriteBatch {
 public:
  struct Operation {
    enum class Kind : std::uint8_t { put, erase, erase_range };
    Kind kind;
    Family family;
    BytesView key;    // of a range: where it begins
    BytesView value;  // of a range: where it ends, which is no part of it; nothing is in it where that is not higher
  };
  // In the order in which they were given: later ones win. Views hold until the batch changes.
  class Iterator;

  void put(Family family, BytesView key, BytesView value) { put_parts(family, {key}, {value}); }
  // Key and value are what their parts are one behind the other.
  void put_parts(Family family, std::initializer_list<BytesView> key, std::initializer_list<BytesView> value);
  void erase(Family family, BytesView key);
  void erase(Family family, BytesView from, BytesView to);
  void erase_all(Family family);
  void clear();
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const;

 private:
  struct Entry {
    Operation::Kind kind;
    Family family;
    std::uint32_t key_bytes;
    std::uint32_t value_bytes;
  };
  std::uint32_t append(std::initializer_list<BytesView> parts);  // how many bytes

  std::vector<Entry> entries_;
  Bytes bytes_;  // key and value of each entry
};

class WriteBatch::Iterator {
 public:
  Iterator(const Entry* at, const std::uint8_t* bytes) : at_(at), bytes_(bytes) {}
  [[nodiscard]] Operation operator*() const {
    return {at_->kind, at_->family, {bytes_, at_->key_bytes}, {bytes_ + at_->key_bytes, at_->value_bytes}};
  }
  Iterator& operator++() {
    bytes_ += std::size_t{at_->key_bytes} + at_->value_bytes;
    ++at_;
    return *this;
  }
  [[nodiscard]] bool operator==(const Iterator& other) const { return at_ == other.at_; }

 private:
  const Entry* at_;
  const std::uint8_t* bytes_;
};

inline WriteBatch::Iterator WriteBatch::begin() const {
  return {entries_.data(), bytes_.data()};
}
inline WriteBatch::Iterator WriteBatch::end() const {
  return {entries_.data() + entries_.size(), nullptr};
}

enum class Sync : std::uint8_t {
  no,       // survives the end of the process
  durable,  // on stable storage when the call returns, with every write before it
};

// Walks keys in ascending byte order. Sees the state at its creation, whatever is written meanwhile. Keys and values
// are valid until the next call of next(). Must not outlive its engine.
class Iterator {
 public:
  virtual ~Iterator() = default;
  [[nodiscard]] virtual bool valid() const = 0;
  virtual void next() = 0;
  [[nodiscard]] virtual BytesView key() const = 0;
  [[nodiscard]] virtual BytesView value() const = 0;
  [[nodiscard]] virtual Result<void> status() const = 0;  // an error also ends the walk
};

// What can be read. Any thread.
class Reader {
 public:
  virtual ~Reader() = default;
  [[nodiscard]] virtual Result<std::optional<Bytes>> get(Family family, BytesView key) const = 0;
  // The same for several keys of a family, ascending: cheaper than one by one.
  [[nodiscard]] virtual Result<std::vector<std::optional<Bytes>>> get_many(Family family,
                                                                           const std::vector<BytesView>& keys) const;
  // Keys in [from, to); an empty `to` means to the end of the family.
  [[nodiscard]] virtual std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const = 0;
};

// Reads are thread-safe, also beside a write; one writer at a time. After a write has failed, every further one is
// refused with the same error: a failed sync may have lost what it was to save, so trying it again proves nothing.
class Engine : public Reader {
 public:
  // What errors call it: the directory, where there is one.
  [[nodiscard]] virtual std::string name() const { return "store"; }
  [[nodiscard]] virtual Result<void> write(const WriteBatch& batch, Sync sync) = 0;
  // What is there now, whatever is written later. It holds back the removal of old data: not for long. Must not outlive
  // its engine, nor a reset of a family that is read through it.
  [[nodiscard]] virtual std::shared_ptr<const Reader> snapshot() const = 0;

  // Something in the repairable families cannot be read, or is not what it should be. As long as that is noted, nothing
  // touches them by itself (a compaction that meets a bad block would end all writing); durable.
  [[nodiscard]] virtual Result<void> note_damage() { return {}; }
  // Noted, perhaps by the engine itself.
  [[nodiscard]] virtual bool damage_noted() const { return false; }
  // All of them can be read to their ends again.
  [[nodiscard]] virtual Result<void> forget_damage() { return {}; }
  // Empties these families, whatever state they are in. Durable, but not atomic: a crash leaves some of them as they
  // were, and some perhaps missing, which is an error (damaged) of every read.
  [[nodiscard]] virtual Result<void> reset(const std::vector<Family>& families);
  // All of this family has been erased, and a write after that was durable: what it took on the disk is given back, for
  // the greater part. Nobody reads an older state of it.
  [[nodiscard]] virtual Result<void> reclaim(Family family);
};

}  // namespace pbft::storage
