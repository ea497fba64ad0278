// Who keeps how many bytes of large results (ResultBudget), and whose are forgotten first where all together are too
// many. Only sums: ReplyCache has the results. A function of what it was told, in whatever order. One thread.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "node/pbft/messages.h"

namespace pbft::execution {

class LargeResults {
 public:
  // A session by its last use.
  using Use = std::pair<SequenceNumber, SessionId>;

  void add(const ClientId& client, std::size_t bytes);
  void remove(const ClientId& client, std::size_t bytes);
  // The session keeps some that may be forgotten.
  void offer(const ClientId& client, const Use& session);
  // It does not, or is not to be thought of now. False: it was not offered.
  bool withdraw(const ClientId& client, const Use& session);

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  // Of the clients that offer a session, the one with the most bytes (of equals the lowest id); of its sessions that
  // are offered, the one that was used least recently (of equals the lowest id).
  [[nodiscard]] std::optional<std::pair<ClientId, SessionId>> first() const;

 private:
  struct Holding {
    std::size_t bytes = 0;
    std::set<Use> offered;
  };
  struct MostFirst {
    using Rank = std::pair<std::size_t, ClientId>;
    bool operator()(const Rank& a, const Rank& b) const {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    }
  };

  template <class Change>
  void change(const ClientId& client, const Change& how);

  std::size_t bytes_ = 0;                 // Invariant: the sum over holdings_
  std::map<ClientId, Holding> holdings_;  // Invariant: none is empty
  // Invariant: exactly the clients that offer a session, with their bytes.
  std::set<std::pair<std::size_t, ClientId>, MostFirst> ranks_;
};

}  // namespace pbft::execution
