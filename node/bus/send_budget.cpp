#include "node/bus/send_budget.h"

#include <array>
#include <utility>

#include "node/bus/sockets.h"

namespace pbft::bus {

struct SendBudget::Counted {
  pbft::Bytes frame;
  std::array<Count, 3> counts;

  Counted(pbft::Bytes bytes, std::array<Count, 3> of) : frame(std::move(bytes)), counts(std::move(of)) {
    for (const Count& count : counts) *count += frame.size();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() {
    for (const Count& count : counts) *count -= frame.size();
  }
};

std::optional<zmq::message_t> SendBudget::take(std::uint64_t connection, pbft::Bytes frame, const ClientId& party) {
  const std::size_t size = frame.size();
  if (size < copy_below) return to_message(std::move(frame));
  const auto made = [](Count& count) -> const Count& {
    if (!count) count = std::make_shared<std::atomic<std::size_t>>(0);
    return count;
  };
  const Count& of_connection = made(connections_[connection]);
  const Count& of_party = made(parties_[party]);
  const auto fits = [size](const Count& count, std::size_t limit) { return *count == 0 || *count + size <= limit; };
  if (!fits(of_connection, limits_.connection) || !fits(of_party, limits_.party)) return std::nullopt;
  if (!fits(all_, limits_.all) && !fits(of_party, limits_.share)) return std::nullopt;
  auto counted = std::make_unique<Counted>(std::move(frame), std::array{of_connection, of_party, all_});
  zmq::message_t message(
      counted->frame.data(), size, [](void*, void* hint) { delete static_cast<Counted*>(hint); }, counted.get());
  static_cast<void>(counted.release());
  return message;
}

void SendBudget::sweep() {
  const auto idle = [](const auto& one) { return *one.second == 0; };
  std::erase_if(connections_, idle);
  std::erase_if(parties_, idle);
}

}  // namespace pbft::bus
