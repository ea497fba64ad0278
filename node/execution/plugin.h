// Loads a state machine from a shared library and calls it. All knowledge of the C ABI (plugins/sdk/pbft/plugin.h)
// on the host's side is here. Errors are texts that name the file and what is wrong.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/execution/work_budget.h"
#include "node/pbft/types.h"
#include "storage/engine.h"

struct pbft_plugin_v1;

namespace pbft::execution {

// What the plugin sees of the state while it runs one operation.
class StateView {
 public:
  virtual ~StateView() = default;
  [[nodiscard]] virtual storage::Result<std::optional<Bytes>> get(BytesView key) const = 0;
  // Shown without a value: a key that the batch has erased. It is no part of the state, but costs time like one.
  using Visit = std::function<bool(BytesView key, const std::optional<BytesView>& value)>;
  // Ascending keys in [from, to), empty `to`: no end. The visitor returns false to stop.
  [[nodiscard]] virtual storage::Result<void> scan(BytesView from, BytesView to, const Visit& visit) const = 0;
  // Not called in queries.
  virtual void put(BytesView key, BytesView value) = 0;
  virtual void erase(BytesView key) = 0;
};

struct Context {
  SequenceNumber n;
  Timestamp time;
  ClientId client;
};

struct Outcome {
  bool ok = true;  // false: the operation failed; result is a message for people
  Bytes result;
};

struct Command {  // of the text form
  std::string name;
  std::string usage;  // "put KEY VALUE"
  std::string help;
  bool read_only = false;
};

class Plugin {
 public:
  // Loads, checks the ABI version, opens with the configuration ("key = value" lines as given in the config).
  [[nodiscard]] static tl::expected<std::unique_ptr<Plugin>, std::string> load(const std::filesystem::path& file,
                                                                               const std::string& config);
  // The same for a table that is linked in: simulation and tests.
  [[nodiscard]] static tl::expected<std::unique_ptr<Plugin>, std::string> from_table(const pbft_plugin_v1* table,
                                                                                     const std::string& config);
  ~Plugin();

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] const std::string& version() const;
  // Over name and configuration: what replicas must agree on. Not over the version, or no checkpoint would be stable
  // while the replicas are given a new one, one after the other; what it does otherwise shows in the state.
  [[nodiscard]] Digest identity() const;

  // Never throws. An error of the storage below is an error here, and so is memory that runs out in the plugin (io):
  // both are this replica's own trouble and no result, and the replica must stop. What the operation does counts for
  // `work`; an operation that goes beyond it fails.
  [[nodiscard]] storage::Result<Outcome> execute(const Context& context, StateView& state, BytesView operation,
                                                 WorkBudget& work);
  [[nodiscard]] storage::Result<Outcome> query(const Context& context, const StateView& state, BytesView operation,
                                               WorkBudget& work) const;
  // The same for an operation that runs alone.
  [[nodiscard]] storage::Result<Outcome> execute(const Context& context, StateView& state, BytesView operation);
  [[nodiscard]] storage::Result<Outcome> query(const Context& context, const StateView& state,
                                               BytesView operation) const;

  // Text form; commands() is empty where the plugin has none.
  [[nodiscard]] const std::vector<Command>& commands() const;
  struct Parsed {
    Bytes operation;
    bool read_only = false;
  };
  [[nodiscard]] tl::expected<Parsed, std::string> parse(const std::vector<std::string>& words) const;
  [[nodiscard]] std::string format(BytesView operation, BytesView result) const;

 private:
  struct Impl;
  explicit Plugin(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::execution
