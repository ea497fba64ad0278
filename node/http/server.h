// The node's HTTP face: health, status, and the gateway that sends operations to the cluster as a client.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "node/execution/plugin.h"
#include "node/runtime/config.h"
#include "tools/client/cpp/pbft/client.h"

namespace pbft::http {

// The functions are called from the server's threads, and not any more once stop() has been called.
struct ServerParts {
  runtime::HttpConfig config;
  std::function<std::string()> status;                    // JSON
  std::function<std::optional<std::string>()> unhealthy;  // a reason, or nothing
  std::unique_ptr<client::Client> client;                 // null: no gateway
  std::unique_ptr<execution::Plugin> plugin;              // for the text form; used under a lock
  std::chrono::milliseconds operation_timeout{10'000};
};

// Serves from its construction to its destruction, on threads of its own.
class Server {
 public:
  // Binds. The error names the address and the reason.
  [[nodiscard]] static tl::expected<std::unique_ptr<Server>, std::string> open(ServerParts parts);
  ~Server();  // waits for the last request to end, however long its client takes

  // Ends serving: whoever asks from now on is refused. False: within the limit not all requests have ended, such as one
  // whose client sends it a byte at a time.
  [[nodiscard]] bool stop(std::chrono::milliseconds limit);

  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::http
