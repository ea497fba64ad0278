#include "node/execution/plugin_file.h"

#include <dlfcn.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <system_error>

namespace pbft::execution {
namespace {

using Error = tl::unexpected<std::string>;

// What can be said about the file before the loader runs any of it.
tl::expected<void, std::string> check_file(const std::filesystem::path& file, const std::string& label) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return Error(label + "there is no such file; check the plugin's path in the configuration");
  }
  if (error) return Error(label + "cannot be examined: " + error.message());
  if (status.type() != std::filesystem::file_type::regular) return Error(label + "is not a regular file");

  std::ifstream in(file, std::ios::binary);
  if (!in) return Error(label + "cannot be read: " + std::strerror(errno));
  std::array<char, 4> magic{};
  in.read(magic.data(), magic.size());
  if (in.gcount() != 4 || std::memcmp(magic.data(), "\177ELF", 4) != 0) {
    return Error(label + "is not a shared library");
  }
  return {};
}

std::string loader_error() {
  const char* message = dlerror();
  return message == nullptr ? "no reason given" : message;
}

}  // namespace

tl::expected<void, std::string> check_plugin_table(const pbft_plugin_v1* table, const std::string& label) {
  if (table == nullptr) return Error(label + "pbft_plugin returns no table");
  if (table->abi_version != PBFT_PLUGIN_ABI_VERSION) {
    return Error(label + "was built for version " + std::to_string(table->abi_version) +
                 " of the plugin interface, and this program has version " + std::to_string(PBFT_PLUGIN_ABI_VERSION) +
                 "; build it again with this installation's pbft/plugin.h");
  }
  if (table->struct_size < sizeof(pbft_plugin_v1)) {
    return Error(label + "its table has " + std::to_string(table->struct_size) + " bytes where version " +
                 std::to_string(PBFT_PLUGIN_ABI_VERSION) + " of the plugin interface has " +
                 std::to_string(sizeof(pbft_plugin_v1)));
  }
  if (table->name == nullptr || *table->name == '\0') return Error(label + "its table has no name");
  if (table->version == nullptr || *table->version == '\0') return Error(label + "its table has no version");
  if (table->execute == nullptr) return Error(label + "its table has no execute function");
  if (table->commands == nullptr && table->command_count != 0) {
    return Error(label + "its table counts " + std::to_string(table->command_count) + " commands and lists none");
  }
  for (std::size_t i = 0; i < table->command_count; ++i) {
    const pbft_command& command = table->commands[i];
    if (command.name == nullptr || command.usage == nullptr || command.help == nullptr) {
      return Error(label + "its command " + std::to_string(i) + " lacks a name, a usage or a help text");
    }
  }
  return {};
}

tl::expected<PluginFile, std::string> open_plugin_file(const std::filesystem::path& file) {
  const std::string label = "plugin " + file.string() + ": ";
  if (auto checked = check_file(file, label); !checked) return Error(checked.error());

  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(file, error);
  if (error) return Error(label + "has no absolute path: " + error.message());
  // Local, so that two plugins with functions of the same names do not meet; now, so that what is missing shows here
  // and not in the middle of an operation.
  void* handle = dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return Error(label + "cannot be loaded: " + loader_error());
  PluginFile loaded{std::shared_ptr<void>(handle, [](void* library) { dlclose(library); }), nullptr};

  dlerror();
  void* symbol = dlsym(handle, "pbft_plugin");
  if (symbol == nullptr) {
    return Error(label + "has no symbol pbft_plugin, so it is a shared library but no plugin");
  }
  using Entry = const pbft_plugin_v1* (*)();
  try {
    loaded.table = reinterpret_cast<Entry>(symbol)();
  } catch (const std::exception& e) {
    return Error(label + "an exception left pbft_plugin: " + e.what());
  } catch (...) {
    return Error(label + "an exception left pbft_plugin");
  }
  if (auto checked = check_plugin_table(loaded.table, label); !checked) return Error(checked.error());
  return loaded;
}

}  // namespace pbft::execution
