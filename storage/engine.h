// An ordered key-value engine with column families and atomic batches: RocksDB in the node, memory in simulation.
// All storage logic (journal, state, ledger, checkpoints) is written once above this interface.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
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

// Atomic: all of it or none of it.
struct WriteBatch {
  struct Put {
    Family family;
    Bytes key;
    Bytes value;
  };
  struct Erase {
    Family family;
    Bytes key;
  };
  struct EraseRange {  // [from, to); nothing where from >= to
    Family family;
    Bytes from;
    Bytes to;
  };
  std::vector<std::variant<Put, Erase, EraseRange>> operations;  // later ones win

  void put(Family family, Bytes key, Bytes value) {
    operations.emplace_back(Put{family, std::move(key), std::move(value)});
  }
  void erase(Family family, Bytes key) { operations.emplace_back(Erase{family, std::move(key)}); }
  void erase(Family family, Bytes from, Bytes to) {
    operations.emplace_back(EraseRange{family, std::move(from), std::move(to)});
  }
  void erase_all(Family family);
};

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
