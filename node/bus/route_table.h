// Which connection answers which client session. Bounded in all and per client; what was learnt longest ago goes
// first, so that one client with many sessions forgets its own routes and not those of others. One thread.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <tuple>

#include "node/pbft/input.h"
#include "node/pbft/types.h"

namespace pbft::bus {

class RouteTable {
 public:
  // Both bounds are at least 1.
  RouteTable(std::size_t max_routes, std::size_t max_routes_per_client);

  // The route of (client, session), or of (client, number) while the session is 0. Returns how many were evicted.
  std::size_t learn(const ClientId& client, SessionId session, RequestNumber number, Origin origin);
  [[nodiscard]] std::optional<Origin> find(const ClientId& client, SessionId session, RequestNumber number) const;
  // Only if it still leads to `origin`.
  void forget(const ClientId& client, SessionId session, RequestNumber number, Origin origin);

  [[nodiscard]] std::size_t size() const { return routes_.size(); }

 private:
  using Key = std::tuple<ClientId, SessionId, RequestNumber>;
  struct Route {
    Origin origin;
    std::list<Key>::iterator in_all;     // position in oldest_first_
    std::list<Key>::iterator in_client;  // position in of_client_
  };

  static Key key(const ClientId& client, SessionId session, RequestNumber number) {
    return {client, session, session == SessionId{} ? number : RequestNumber{}};
  }
  void erase(std::map<Key, Route>::iterator route);

  std::size_t max_routes_;
  std::size_t max_routes_per_client_;
  std::map<Key, Route> routes_;  // ordered: clients choose their keys and could aim at a hash
  std::list<Key> oldest_first_;
  std::map<ClientId, std::list<Key>> of_client_;  // Invariant: no empty list; the sizes add up to routes_.size()
};

}  // namespace pbft::bus
