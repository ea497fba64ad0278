// The threads that serve HTTP.
#pragma once

#include <httplib.h>
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace pbft::http {

constexpr std::size_t worker_threads = 16;
constexpr std::size_t waiting_connections = 64;

// A fixed number of threads and a bounded queue. While the queue is full no further connection is accepted: they
// wait in the kernel's backlog, which is bounded too.
class BoundedWorkers final : public httplib::TaskQueue {
 public:
  BoundedWorkers();
  ~BoundedWorkers() override = default;

  void enqueue(std::function<void()> job) override;
  void shutdown() override;

 private:
  void start_thread();
  void work();

  std::mutex mutex_;
  std::condition_variable arrived_, room_;
  std::deque<std::function<void()>> jobs_;
  bool shut_down_ = false;
  std::vector<pthread_t> threads_;
};

}  // namespace pbft::http
