// A StateView over a map, which can be told to break: for tests of the plugin host.
#pragma once

#include <map>

#include "node/execution/plugin.h"

namespace pbft::execution {

class MapState final : public StateView {
 public:
  std::map<Bytes, Bytes> map;
  std::optional<storage::StorageError> broken;  // every read fails with it

  [[nodiscard]] storage::Result<std::optional<Bytes>> get(BytesView key) const override {
    if (broken) return tl::unexpected(*broken);
    const auto found = map.find(Bytes(key.begin(), key.end()));
    return found == map.end() ? std::optional<Bytes>() : found->second;
  }
  [[nodiscard]] storage::Result<void> scan(BytesView from, BytesView to, const Visit& visit) const override {
    if (broken) return tl::unexpected(*broken);
    const Bytes end(to.begin(), to.end());
    for (auto at = map.lower_bound(Bytes(from.begin(), from.end())); at != map.end(); ++at) {
      if ((!end.empty() && at->first >= end) || !visit(at->first, at->second)) break;
    }
    return {};
  }
  void put(BytesView key, BytesView value) override {
    map[Bytes(key.begin(), key.end())] = Bytes(value.begin(), value.end());
  }
  void erase(BytesView key) override { map.erase(Bytes(key.begin(), key.end())); }
};

}  // namespace pbft::execution
