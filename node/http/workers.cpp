#include "node/http/workers.h"

#include <system_error>

namespace pbft::http {

namespace {

// The library matches a Range header, of up to 8 KiB, with std::regex, which calls itself for every character and
// takes 5 MiB for that. What threads get by default depends on `ulimit -s` and can be less.
constexpr std::size_t stack_bytes = 16U << 20;

}  // namespace

BoundedWorkers::BoundedWorkers() {
  for (std::size_t i = 0; i < worker_threads; ++i) start_thread();
}

void BoundedWorkers::start_thread() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t thread{};
  const int error = pthread_create(
      &thread, &attributes,
      [](void* self) -> void* {
        static_cast<BoundedWorkers*>(self)->work();
        return nullptr;
      },
      this);
  pthread_attr_destroy(&attributes);
  if (error != 0) throw std::system_error{error, std::generic_category(), "cannot start a thread for HTTP"};
  threads_.push_back(thread);
}

void BoundedWorkers::enqueue(std::function<void()> job) {
  std::unique_lock lock{mutex_};
  room_.wait(lock, [this] { return jobs_.size() < waiting_connections || shut_down_; });
  jobs_.push_back(std::move(job));
  arrived_.notify_one();
}

void BoundedWorkers::shutdown() {
  {
    const std::lock_guard lock{mutex_};
    shut_down_ = true;
  }
  arrived_.notify_all();
  room_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

void BoundedWorkers::work() {
  for (;;) {
    std::unique_lock lock{mutex_};
    arrived_.wait(lock, [this] { return !jobs_.empty() || shut_down_; });
    if (jobs_.empty()) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    room_.notify_one();
    lock.unlock();
    job();
  }
}

}  // namespace pbft::http
