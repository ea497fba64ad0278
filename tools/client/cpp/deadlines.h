// When each outstanding operation is given up. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "tools/client/cpp/ascending.h"
#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::client {

class Deadlines {
 public:
  void add(Ticket ticket, std::uint64_t deadline_us);  // 0: none. Tickets ascend.
  void remove(Ticket ticket);                          // one that is there
  // Takes the next one whose deadline has come; the earliest first, then the lowest ticket.
  [[nodiscard]] std::optional<Ticket> take_due(std::uint64_t now_us);
  // The earliest; nothing: none.
  [[nodiscard]] std::optional<std::uint64_t> next() const;
  [[nodiscard]] std::size_t size() const { return outstanding_.size(); }

 private:
  using Entry = std::pair<std::uint64_t, Ticket>;

  [[nodiscard]] bool stale(const Entry& entry) { return outstanding_.find(entry.second) == nullptr; }
  // What ended before its deadline stays in the heap until it comes up, or until most of the heap is of that kind.
  void tidy();

  Ascending<Ticket, std::uint64_t> outstanding_;
  std::vector<Entry> heap_;  // The earliest first. Invariant: that one is outstanding.
};

}  // namespace pbft::client
