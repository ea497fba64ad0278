// Changes of the state that the engine has not been given yet: they wait in memory for the next checkpoint, or until
// there are too many. The ledger tells after a crash which batches they came from. One thread.
#pragma once

#include <array>
#include <map>
#include <optional>

#include "node/pbft/digests.h"
#include "storage/engine.h"
#include "storage/store.h"

namespace pbft::storage {

class Unwritten {
 public:
  struct Less {
    using is_transparent = void;
    bool operator()(BytesView a, BytesView b) const;
  };
  struct Change {
    std::optional<Bytes> value;  // nothing: erased
    bool first = false;          // as in StateChange
  };
  using Changes = std::map<Bytes, Change, Less>;

  void set(Namespace name_space, StateChange change);
  // Null where the pair has not changed; else its value, or nothing where it was erased.
  [[nodiscard]] const std::optional<Bytes>* find(Namespace name_space, BytesView key) const;
  [[nodiscard]] const Changes& in(Namespace name_space) const { return changes_[index(name_space)]; }
  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  [[nodiscard]] std::size_t size() const { return changes_[0].size() + changes_[1].size(); }  // pairs
  [[nodiscard]] std::size_t bytes() const { return bytes_; }                                  // about as much memory
  void clear();
  // Of this namespace, those before `to` are with the engine now.
  void forget(Namespace name_space, Changes::const_iterator to);

  // What `below` has with these changes over it, for keys in [from, to). Both must outlive it, unchanged.
  [[nodiscard]] std::unique_ptr<Iterator> over(std::unique_ptr<Iterator> below, Namespace name_space, BytesView from,
                                               BytesView to) const;

 private:
  [[nodiscard]] static std::size_t index(Namespace name_space) { return static_cast<std::size_t>(name_space); }

  std::array<Changes, 2> changes_;
  std::size_t bytes_ = 0;
};

}  // namespace pbft::storage
