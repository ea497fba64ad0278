// From the command line to a connected client: which configuration, which keys, which plugin's text form.
// Errors are texts that say what to do.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/execution/plugin.h"
#include "node/runtime/config.h"
#include "tools/client/cpp/pbft/client.h"
#include "tools/pbftctl/commands.h"

namespace pbft::ctl {

template <class T>
using Result = tl::expected<T, std::string>;

// The first of: --config; client/client.toml in --dir; $PBFT_CLIENT_CONFIG; ./client.toml; ./client/client.toml;
// ./cluster/client/client.toml.
[[nodiscard]] Result<std::filesystem::path> find_client_config(const Globals& globals);
[[nodiscard]] Result<runtime::ClientConfig> load_client_config(const Globals& globals);
// A key that the genesis does not admit is an error.
[[nodiscard]] Result<std::unique_ptr<client::Client>> connect(const runtime::ClientConfig& config);
// `count` clients, each with a session of its own: one for each of DIR/client, DIR/client-2 ... beside the directory of
// this configuration, without the first `skip` of them. Where `init` made fewer of them, some share a key.
[[nodiscard]] Result<std::vector<std::unique_ptr<client::Client>>> connect_many(const runtime::ClientConfig& config,
                                                                                std::size_t count,
                                                                                std::size_t skip = 0);

// The plugin of the cluster, for its text form only.
[[nodiscard]] Result<std::unique_ptr<execution::Plugin>> load_text_form(const runtime::ClientConfig& config);
// The words as an operation of the plugin; the error lists what the plugin understands.
[[nodiscard]] Result<execution::Plugin::Parsed> parse_operation(const execution::Plugin& plugin,
                                                                const std::vector<std::string>& words);

// What exec and query begin with: all three together.
struct Connection {
  runtime::ClientConfig config;
  std::unique_ptr<execution::Plugin> plugin;
  std::unique_ptr<client::Client> client;
};
[[nodiscard]] Result<Connection> connect(const Globals& globals);

}  // namespace pbft::ctl
