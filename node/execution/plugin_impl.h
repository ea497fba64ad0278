// What plugin.cpp and plugin_text.cpp share.
#pragma once

#include "node/execution/plugin.h"
#include "node/execution/plugin_file.h"

namespace pbft::execution {

struct Plugin::Impl {
  PluginFile file;    // its library is null where the table is linked in
  std::string label;  // starts messages: "plugin PATH: "
  std::string config;
  std::string name;
  std::string version;
  std::vector<Command> commands;
  void* instance = nullptr;
  bool opened = false;

  ~Impl();
  [[nodiscard]] const pbft_plugin_v1& table() const { return *file.table; }
  [[nodiscard]] tl::expected<void, std::string> open();
};

}  // namespace pbft::execution
