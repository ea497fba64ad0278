#include "node/bus/send_budget.h"

#include <utility>

#include "node/bus/sockets.h"

namespace pbft::bus {

struct SendBudget::Counted {
  pbft::Bytes frame;
  Count connection;
  Count all;

  Counted(pbft::Bytes bytes, Count of_connection, Count of_all)
      : frame(std::move(bytes)), connection(std::move(of_connection)), all(std::move(of_all)) {
    *connection += frame.size();
    *all += frame.size();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() {
    *connection -= frame.size();
    *all -= frame.size();
  }
};

std::optional<zmq::message_t> SendBudget::take(std::uint64_t connection, pbft::Bytes frame) {
  const std::size_t size = frame.size();
  if (size < copy_below) return to_message(std::move(frame));
  Count& count = connections_[connection];
  if (!count) count = std::make_shared<std::atomic<std::size_t>>(0);
  const std::size_t waiting = *count;
  if (waiting > 0 && (waiting + size > limits_.connection || *all_ + size > limits_.all)) return std::nullopt;
  auto counted = std::make_unique<Counted>(std::move(frame), count, all_);
  zmq::message_t message(
      counted->frame.data(), size, [](void*, void* hint) { delete static_cast<Counted*>(hint); }, counted.get());
  static_cast<void>(counted.release());
  return message;
}

void SendBudget::sweep() {
  std::erase_if(connections_, [](const auto& one) { return *one.second == 0; });
}

}  // namespace pbft::bus
