// The state as a batch sees it while it runs: the store below, the changes of the batch above it, and above those the
// changes of the request that runs now, which can be taken back. Nothing reaches the store from here. One thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "node/execution/plugin.h"
#include "storage/store.h"

namespace pbft::execution {

class Overlay final : public StateView {
 public:
  // `store` must outlive it and must not be written to meanwhile.
  explicit Overlay(const storage::Store& store) : store_(store) {}

  [[nodiscard]] storage::Result<std::optional<Bytes>> get(BytesView key) const override;
  [[nodiscard]] storage::Result<void> scan(BytesView from, BytesView to, const Visit& visit) const override;
  void put(BytesView key, BytesView value) override;
  void erase(BytesView key) override;

  // The request's changes become the batch's, or go.
  void keep_request();
  void drop_request() { request_.clear(); }
  // The changes of the batch, ascending, one for each key. Leaves the overlay empty.
  [[nodiscard]] std::vector<storage::StateChange> take();

 private:
  struct Less {  // Compares with views, so that a lookup copies no key.
    using is_transparent = void;
    bool operator()(BytesView a, BytesView b) const;
  };
  using Changes = std::map<Bytes, std::optional<Bytes>, Less>;  // no value: erased
  class Cursor;

  static void set(Changes& changes, BytesView key, std::optional<Bytes> value);

  const storage::Store& store_;
  Changes batch_;
  Changes request_;
};

}  // namespace pbft::execution
