#include "node/bus/route_table.h"

#include <algorithm>

namespace pbft::bus {

RouteTable::RouteTable(std::size_t max_routes, std::size_t max_routes_per_client)
    : max_routes_(std::max<std::size_t>(max_routes, 1)),
      max_routes_per_client_(std::max<std::size_t>(max_routes_per_client, 1)) {}

std::size_t RouteTable::learn(const ClientId& client, SessionId session, RequestNumber number, Origin origin) {
  const Key wanted = key(client, session, number);
  auto& own = of_client_[client];
  if (const auto known = routes_.find(wanted); known != routes_.end()) {
    known->second.origin = origin;
    oldest_first_.splice(oldest_first_.end(), oldest_first_, known->second.in_all);
    own.splice(own.end(), own, known->second.in_client);
    return 0;
  }
  oldest_first_.push_back(wanted);
  own.push_back(wanted);
  routes_.emplace(wanted, Route{origin, std::prev(oldest_first_.end()), std::prev(own.end())});

  std::size_t evicted = 0;
  if (own.size() > max_routes_per_client_) {
    erase(routes_.find(own.front()));
    ++evicted;
  }
  if (routes_.size() > max_routes_) {
    erase(routes_.find(oldest_first_.front()));
    ++evicted;
  }
  return evicted;
}

std::optional<Origin> RouteTable::find(const ClientId& client, SessionId session, RequestNumber number) const {
  const auto route = routes_.find(key(client, session, number));
  if (route == routes_.end()) return std::nullopt;
  return route->second.origin;
}

void RouteTable::forget(const ClientId& client, SessionId session, RequestNumber number, Origin origin) {
  const auto route = routes_.find(key(client, session, number));
  if (route != routes_.end() && route->second.origin == origin) erase(route);
}

void RouteTable::erase(std::map<Key, Route>::iterator route) {
  const auto own = of_client_.find(std::get<0>(route->first));
  own->second.erase(route->second.in_client);
  if (own->second.empty()) of_client_.erase(own);
  oldest_first_.erase(route->second.in_all);
  routes_.erase(route);
}

}  // namespace pbft::bus
