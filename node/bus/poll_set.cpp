#include "node/bus/poll_set.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace pbft::bus {
namespace {

constexpr std::uint64_t wake_up_token = std::numeric_limits<std::uint64_t>::max();

int wait_for_events(int descriptor, std::vector<epoll_event>& events, std::chrono::nanoseconds timeout) {
  constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;
  const std::int64_t count = std::max<std::int64_t>(timeout.count(), 0);
  const timespec limit{static_cast<time_t>(count / nanoseconds_per_second),
                       static_cast<long>(count % nanoseconds_per_second)};
  const int room = static_cast<int>(events.size());
  const int found = epoll_pwait2(descriptor, events.data(), room, &limit, nullptr);
  if (found >= 0 || errno != ENOSYS) return found;
  // Before Linux 5.11 there are only milliseconds; rounded up, so that nobody spins.
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds{count}).count();
  return epoll_wait(descriptor, events.data(), room, static_cast<int>(milliseconds));
}

}  // namespace

tl::expected<PollSet, std::string> PollSet::create() {
  auto wake_up = WakeUp::create();
  if (!wake_up) return tl::unexpected(wake_up.error());
  const int descriptor = epoll_create1(EPOLL_CLOEXEC);
  if (descriptor < 0) return tl::unexpected(std::string("cannot create a poll descriptor: ") + std::strerror(errno));
  PollSet made(std::move(*wake_up), descriptor);
  if (auto watched = made.watch(made.wake_up_.descriptor(), wake_up_token); !watched) {
    return tl::unexpected(watched.error());
  }
  return made;
}

PollSet::PollSet(WakeUp wake_up, int descriptor) : wake_up_(std::move(wake_up)), descriptor_(descriptor), events_(1) {}

PollSet::PollSet(PollSet&& other) noexcept
    : wake_up_(std::move(other.wake_up_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      events_(std::move(other.events_)),
      signalled_(std::move(other.signalled_)) {}

PollSet::~PollSet() {
  if (descriptor_ >= 0) close(descriptor_);
}

tl::expected<void, std::string> PollSet::watch(int descriptor, std::uint64_t token) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token;
  if (epoll_ctl(descriptor_, EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
  return tl::unexpected(std::string("cannot watch a descriptor: ") + std::strerror(errno));
}

tl::expected<std::size_t, std::string> PollSet::add(zmq::socket_t& socket) {
  const std::size_t index = events_.size() - 1;
  if (auto watched = watch(socket.get(zmq::sockopt::fd), index); !watched) return tl::unexpected(watched.error());
  events_.emplace_back();
  return index;
}

bool PollSet::wait(std::chrono::nanoseconds timeout) {
  signalled_.clear();
  const int found = wait_for_events(descriptor_, events_, timeout);
  if (found < 0) return errno == EINTR;
  bool woken = false;
  for (int i = 0; i < found; ++i) {
    const std::uint64_t token = events_[static_cast<std::size_t>(i)].data.u64;
    if (token == wake_up_token) {
      woken = true;
      wake_up_.clear();
    } else {
      signalled_.push_back(token);
    }
  }
  return woken;
}

}  // namespace pbft::bus
