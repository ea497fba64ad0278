// Decides who may connect (ZeroMQ RFC 27). The handler is bound in the context of the sockets that it guards, before
// any of them binds; these enforce it, so that nobody gets in while it does not answer.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>
#include <zmq.hpp>

#include "node/bus/counters.h"
#include "node/bus/monitor.h"
#include "node/bus/sockets.h"
#include "node/bus/wake_up.h"

namespace pbft::bus {

// ZAP domain -> whether the holder of a key may connect to a socket of that domain. Called from the handler's thread.
using Admission = std::map<std::string, std::function<bool(const CurveKey&)>, std::less<>>;

// Owns the handler's socket and the one thread that answers it and drains the connection monitors.
class ZapHandler {
 public:
  // Binds; answers come only after start(). `counters` and `monitors` outlive the handler.
  [[nodiscard]] static tl::expected<std::unique_ptr<ZapHandler>, std::string> bind(zmq::context_t& context,
                                                                                   Admission admission,
                                                                                   Counters& counters,
                                                                                   MonitorSet& monitors);
  ~ZapHandler();
  ZapHandler(const ZapHandler&) = delete;
  ZapHandler& operator=(const ZapHandler&) = delete;

  // After this `monitors` belongs to the thread, until the handler is destroyed.
  void start();
  // Unbinds and never answers again, while the thread goes on with the monitors. Returns when it is done.
  // At most once, after start().
  void stop_answering();

 private:
  struct Verdict {
    const char* code;
    const char* text;
    std::string user_id;
  };

  ZapHandler(zmq::socket_t socket, WakeUp wake_up, Admission admission, Counters& counters, MonitorSet& monitors);

  void run();
  void answer_waiting();
  void unbind();
  [[nodiscard]] Verdict judge(std::vector<zmq::message_t>& request);

  zmq::socket_t socket_;  // REP; closed once unbound
  WakeUp wake_up_;
  Admission admission_;
  Counters& counters_;
  MonitorSet& monitors_;
  std::atomic<bool> end_{false};
  std::atomic<bool> stop_answering_{false};
  std::promise<void> unbound_;
  std::thread thread_;
};

}  // namespace pbft::bus
