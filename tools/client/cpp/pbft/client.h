// libpbft-client: submit operations to a PBFT cluster and believe only what f+1 replicas vouch for.
// Thread-safe; one background thread does all network work of a Client, or of all that were opened together. Callbacks
// run on that thread and must neither block nor destroy a Client.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::client {

struct ReplicaEndpoint {
  std::string name;
  std::string endpoint;  // the replica's client ROUTER
};

struct ClientOptions {
  crypto::Roster roster;
  crypto::Identity identity;
  std::vector<ReplicaEndpoint> replicas;  // index = ReplicaId
  CoreOptions core;
};

class Client {
 public:
  using Callback = std::function<void(Outcome)>;

  // Opens the sockets; the session is opened with the first operation. The error says what is wrong.
  [[nodiscard]] static tl::expected<std::unique_ptr<Client>, std::string> open(ClientOptions options);
  // One for each identity; `identity` in the options is not used. They share one background thread and its system
  // calls, which makes many clients in one process much cheaper; each has its own connections and its own session.
  [[nodiscard]] static tl::expected<std::vector<std::unique_ptr<Client>>, std::string> open_many(
      ClientOptions options, const std::vector<crypto::Identity>& identities);
  // Outstanding operations end as timed_out. Not while another thread still submits.
  ~Client();

  // A timeout is at least one millisecond and at most ten years.
  // An operation beyond Limits::max_operation_bytes is refused.
  void submit(Bytes operation, std::chrono::milliseconds timeout, Callback done);
  void query(Bytes operation, std::chrono::milliseconds timeout, Callback done);
  [[nodiscard]] std::future<Outcome> submit(Bytes operation, std::chrono::milliseconds timeout);
  [[nodiscard]] std::future<Outcome> query(Bytes operation, std::chrono::milliseconds timeout);

  // These two block, so they must not be called from a callback.
  // Asks every replica for its own account of itself (JSON, unproven: each speaks for itself only). One entry per
  // replica; no value: no answer in time.
  [[nodiscard]] std::vector<std::optional<std::string>> info(std::chrono::milliseconds timeout);
  // Asks every replica to answer the same read by itself and shows each answer (no agreement; for people and tests).
  [[nodiscard]] std::vector<std::optional<Outcome>> query_each(const Bytes& operation,
                                                               std::chrono::milliseconds timeout);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::client
