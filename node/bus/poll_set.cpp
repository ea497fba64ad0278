#include "node/bus/poll_set.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

namespace pbft::bus {

tl::expected<PollSet, std::string> PollSet::create() {
  auto wake_up = WakeUp::create();
  if (!wake_up) return tl::unexpected(wake_up.error());
  return PollSet(std::move(*wake_up));
}

PollSet::PollSet(WakeUp wake_up) : wake_up_(std::move(wake_up)) {
  descriptors_.push_back({wake_up_.descriptor(), POLLIN, 0});
}

std::size_t PollSet::add(zmq::socket_t& socket) {
  descriptors_.push_back({socket.get(zmq::sockopt::fd), POLLIN, 0});
  return descriptors_.size() - 1;
}

bool PollSet::wait(std::chrono::nanoseconds timeout) {
  constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;
  const std::int64_t count = std::max<std::int64_t>(timeout.count(), 0);
  const timespec limit{static_cast<time_t>(count / nanoseconds_per_second),
                       static_cast<long>(count % nanoseconds_per_second)};
  if (ppoll(descriptors_.data(), descriptors_.size(), &limit, nullptr) < 0) {
    const bool interrupted = errno == EINTR;
    for (pollfd& descriptor : descriptors_) descriptor.revents = 0;
    return interrupted;
  }
  if (descriptors_.front().revents == 0) return false;
  wake_up_.clear();
  return true;
}

}  // namespace pbft::bus
