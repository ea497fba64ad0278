// The host's side of one call of a plugin: the functions behind pbft_state and pbft_writer, which hold the limits and
// remember what went wrong, because the plugin's own account of it is not relied upon.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "node/execution/plugin.h"
#include "plugins/sdk/pbft/plugin.h"

namespace pbft::execution {

// Collects what a plugin writes, up to a limit.
class Collector {
 public:
  explicit Collector(std::size_t limit) : limit_(limit) {}
  [[nodiscard]] pbft_writer writer();
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  [[nodiscard]] Bytes& bytes() { return bytes_; }
  [[nodiscard]] std::string text() const { return std::string(as_text(bytes_)); }

 private:
  static void append(void* handle, const void* data, std::size_t size) noexcept;

  std::size_t limit_;
  Bytes bytes_;
  bool overflowed_ = false;
};

// The state as one operation sees it. Lives as long as the call.
class HostState {
 public:
  // `changes` is null in queries. All three must outlive it.
  HostState(const StateView& state, StateView* changes, WorkBudget& work);

  [[nodiscard]] const pbft_state& functions() const { return functions_; }
  // A broken storage: the replica must stop.
  [[nodiscard]] const std::optional<storage::StorageError>& storage_error() const { return storage_error_; }
  // std::bad_alloc left a visitor: the replica must stop.
  [[nodiscard]] bool exhausted() const { return exhausted_; }
  // Why the operation is lost; the first reason. The same on every replica.
  [[nodiscard]] const std::optional<std::string>& refusal() const { return refusal_; }

 private:
  struct Calls;  // the C functions

  // No call does anything any more.
  [[nodiscard]] bool lost() const { return storage_error_ || exhausted_ || work_.ended(); }
  int refuse(std::string why);
  int broken(storage::StorageError error);
  // PBFT_OK if a key or value of this size may be used, or this call may change the state.
  int check_key(pbft_bytes key);
  int check_change(const char* call);
  // PBFT_OK if so much work may still be done for the operation.
  int work(std::size_t bytes);

  const StateView& state_;
  StateView* changes_;
  WorkBudget& work_;
  pbft_state functions_;
  Bytes value_;  // what get has handed out
  int open_scans_ = 0;
  std::optional<storage::StorageError> storage_error_;
  bool exhausted_ = false;
  std::optional<std::string> refusal_;
};

}  // namespace pbft::execution
