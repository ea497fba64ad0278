#include "tools/sim/checkers/history.h"

#include <fmt/format.h>

namespace pbft::sim {

std::string short_hex(BytesView bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size() && i < 4; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

std::string to_string(const RequestName& name) {
  return fmt::format("client {} session {} request {}", short_hex(name.client.view()), name.session.value,
                     name.number.value);
}

std::string to_string(const Position& position) {
  return fmt::format("{}.{}", position.n, position.index);
}

}  // namespace pbft::sim
