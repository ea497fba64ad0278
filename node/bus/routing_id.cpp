#include "node/bus/routing_id.h"

namespace pbft::bus {
namespace {

constexpr std::size_t routing_id_size = 5;
constexpr std::uint64_t origin_mark = std::uint64_t{1} << 32U;

}  // namespace

std::optional<Origin> to_origin(const zmq::message_t& routing_id) {
  const auto* bytes = routing_id.data<std::uint8_t>();
  if (routing_id.size() != routing_id_size || bytes[0] != 0) return std::nullopt;
  std::uint64_t number = 0;
  for (std::size_t i = 1; i < routing_id_size; ++i) number = number << 8U | bytes[i];
  return Origin{origin_mark | number};
}

std::optional<zmq::message_t> to_routing_id(Origin origin) {
  if (origin.value >> 32U != 1) return std::nullopt;
  zmq::message_t message(routing_id_size);
  auto* bytes = message.data<std::uint8_t>();
  bytes[0] = 0;
  for (std::size_t i = 1; i < routing_id_size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(origin.value >> (8U * (routing_id_size - 1 - i)));
  }
  return message;
}

}  // namespace pbft::bus
