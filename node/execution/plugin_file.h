// Finds the plugin's table in a shared library. Every way in which a file can be wrong has a message of its own that
// names the file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "plugins/sdk/pbft/plugin.h"

namespace pbft::execution {

// An open shared library; closed when the last owner goes. The table lives as long.
struct PluginFile {
  std::shared_ptr<void> library;
  const pbft_plugin_v1* table = nullptr;
};

[[nodiscard]] tl::expected<PluginFile, std::string> open_plugin_file(const std::filesystem::path& file);

// A table that this host can use: ABI version, size, name, version, required functions. Nothing beyond the version is
// read where the version is another one. `label` starts the message.
[[nodiscard]] tl::expected<void, std::string> check_plugin_table(const pbft_plugin_v1* table, const std::string& label);

}  // namespace pbft::execution
