#include "node/bus/wake_up.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace pbft::bus {

tl::expected<WakeUp, std::string> WakeUp::create() {
  const int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (descriptor < 0) return tl::unexpected(std::string("cannot create an event descriptor: ") + std::strerror(errno));
  return WakeUp(descriptor);
}

WakeUp::WakeUp(WakeUp&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

WakeUp::~WakeUp() {
  if (descriptor_ >= 0) close(descriptor_);
}

void WakeUp::set() const {
  const std::uint64_t one = 1;
  // Fails only if the counter is full, and then the descriptor is readable already.
  [[maybe_unused]] const ssize_t written = write(descriptor_, &one, sizeof one);
}

void WakeUp::clear() const {
  std::uint64_t count = 0;
  // Fails only if it was not set.
  [[maybe_unused]] const ssize_t taken = read(descriptor_, &count, sizeof count);
}

}  // namespace pbft::bus
