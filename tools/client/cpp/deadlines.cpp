#include "tools/client/cpp/deadlines.h"

#include <algorithm>
#include <functional>

namespace pbft::client {

void Deadlines::add(Ticket ticket, std::uint64_t deadline_us) {
  outstanding_.add(ticket, deadline_us);
  if (deadline_us == 0) {
    return;
  }
  heap_.emplace_back(deadline_us, ticket);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
}

void Deadlines::remove(Ticket ticket) {
  outstanding_.erase(ticket);
  tidy();
}

std::optional<Ticket> Deadlines::take_due(std::uint64_t now_us) {
  if (heap_.empty() || heap_.front().first > now_us) {
    return std::nullopt;
  }
  const Ticket due = heap_.front().second;
  remove(due);
  return due;
}

std::optional<std::uint64_t> Deadlines::next() const {
  return heap_.empty() ? std::nullopt : std::optional{heap_.front().first};
}

void Deadlines::tidy() {
  if (heap_.size() > 2 * outstanding_.size() + 64) {
    std::erase_if(heap_, [this](const Entry& entry) { return stale(entry); });
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>{});
  }
  while (!heap_.empty() && stale(heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
    heap_.pop_back();
  }
}

}  // namespace pbft::client
