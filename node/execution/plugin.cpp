#include "node/execution/plugin.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "node/execution/host_state.h"
#include "node/execution/plugin_impl.h"
#include "node/pbft/digests.h"
#include "node/pbft/messages.h"

namespace pbft::execution {
namespace {

Outcome failure(std::string_view message) {
  return {false, to_bytes(message)};
}

// A function of a plugin that runs operations.
struct Callee {
  int (*function)(void*, const pbft_context*, const pbft_state*, pbft_bytes, pbft_writer);
  const char* what;  // its name
  const std::string& plugin;
  void* instance;
};

storage::StorageError out_of_memory(const Callee& callee) {
  return {
      storage::StorageError::Kind::io,
      "out of memory in the plugin " + callee.plugin + ", in its " + callee.what +
          "; nothing of the batch is applied. Give the node more memory and start it again. If all replicas stop at "
          "the same operation, the plugin allocates what a client asks for, and has to be corrected"};
}

// Calls execute or query and decides, from what the host saw and not only from what the plugin says, how it ended.
storage::Result<Outcome> call(const Callee& callee, const Context& context, const StateView& state, StateView* changes,
                              BytesView operation, WorkBudget& work) {
  pbft_context given{sizeof(pbft_context), context.n.value, context.time.value, {}};
  std::copy(context.client.bytes.begin(), context.client.bytes.end(), given.client);
  work.begin(operation.size());
  HostState host(state, changes, work);
  Collector result(Limits::max_result_bytes);

  int status = PBFT_FAILED;
  std::optional<std::string> thrown;
  try {
    status = callee.function(callee.instance, &given, &host.functions(), {operation.data(), operation.size()},
                             result.writer());
  } catch (const std::bad_alloc&) {
    status = PBFT_EXHAUSTED;
  } catch (const std::exception& e) {
    thrown = std::string("an exception left the plugin's ") + callee.what + ": " + e.what();
  } catch (...) {
    thrown = std::string("an exception left the plugin's ") + callee.what;
  }

  if (host.storage_error()) return tl::unexpected(*host.storage_error());
  if (host.exhausted() || status == PBFT_EXHAUSTED) return tl::unexpected(out_of_memory(callee));
  if (host.refusal()) return failure(*host.refusal());
  if (thrown) return failure(std::string_view(*thrown).substr(0, Limits::max_result_bytes));
  if (result.overflowed()) {
    return failure("the result is larger than " + std::to_string(Limits::max_result_bytes) + " bytes");
  }
  if (status != PBFT_OK && status != PBFT_FAILED) {
    return failure(std::string("the plugin's ") + callee.what + " returned the unknown status " +
                   std::to_string(status));
  }
  return Outcome{status == PBFT_OK, std::move(result.bytes())};
}

}  // namespace

Plugin::Impl::~Impl() {
  if (!opened || table().close == nullptr) return;
  try {
    table().close(instance);
  } catch (...) {  // There is nobody left to tell, and nothing depends on it.
  }
}

tl::expected<void, std::string> Plugin::Impl::open() {
  name = table().name;
  version = table().version;
  for (std::size_t i = 0; i < table().command_count; ++i) {
    const pbft_command& command = table().commands[i];
    commands.push_back({command.name, command.usage, command.help, command.read_only != 0});
  }
  if (table().open == nullptr) {
    if (!config.empty()) return tl::unexpected(label + "it takes no configuration, and it was given one");
    opened = true;
    return {};
  }
  Collector error(64 << 10);
  try {
    const BytesView text = as_bytes(config);
    if (table().open({text.data(), text.size()}, error.writer(), &instance) != PBFT_OK) {
      const std::string reason = error.bytes().empty() ? "it gives no reason" : error.text();
      return tl::unexpected(label + "does not open with its configuration: " + reason);
    }
  } catch (const std::exception& e) {
    return tl::unexpected(label + "an exception left its open: " + e.what());
  } catch (...) {
    return tl::unexpected(label + "an exception left its open");
  }
  opened = true;
  return {};
}

Plugin::Plugin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Plugin::~Plugin() = default;

tl::expected<std::unique_ptr<Plugin>, std::string> Plugin::load(const std::filesystem::path& file,
                                                                const std::string& config) {
  auto opened = open_plugin_file(file);
  if (!opened) return tl::unexpected(opened.error());
  auto impl = std::make_unique<Impl>();
  impl->file = *std::move(opened);
  impl->label = "plugin " + file.string() + ": ";
  impl->config = config;
  if (auto started = impl->open(); !started) return tl::unexpected(started.error());
  return std::unique_ptr<Plugin>(new Plugin(std::move(impl)));
}

tl::expected<std::unique_ptr<Plugin>, std::string> Plugin::from_table(const pbft_plugin_v1* table,
                                                                      const std::string& config) {
  if (auto checked = check_plugin_table(table, "plugin (linked in): "); !checked) {
    return tl::unexpected(checked.error());
  }
  auto impl = std::make_unique<Impl>();
  impl->file.table = table;
  impl->label = std::string("plugin ") + table->name + " (linked in): ";
  impl->config = config;
  if (auto started = impl->open(); !started) return tl::unexpected(started.error());
  return std::unique_ptr<Plugin>(new Plugin(std::move(impl)));
}

const std::string& Plugin::name() const {
  return impl_->name;
}
const std::string& Plugin::version() const {
  return impl_->version;
}

Digest Plugin::identity() const {
  Bytes data;
  for (const std::string* part : {&impl_->name, &impl_->config}) {
    for (int shift = 56; shift >= 0; shift -= 8) data.push_back(static_cast<std::uint8_t>(part->size() >> shift));
    const BytesView bytes = as_bytes(*part);
    data.insert(data.end(), bytes.begin(), bytes.end());
  }
  return tagged_digest("pbft plugin identity", data);
}

storage::Result<Outcome> Plugin::execute(const Context& context, StateView& state, BytesView operation,
                                         WorkBudget& work) {
  return call({impl_->table().execute, "execute", impl_->name, impl_->instance}, context, state, &state, operation,
              work);
}

storage::Result<Outcome> Plugin::query(const Context& context, const StateView& state, BytesView operation,
                                       WorkBudget& work) const {
  if (impl_->table().query == nullptr) return failure("the plugin " + impl_->name + " answers no queries");
  return call({impl_->table().query, "query", impl_->name, impl_->instance}, context, state, nullptr, operation, work);
}

storage::Result<Outcome> Plugin::execute(const Context& context, StateView& state, BytesView operation) {
  WorkBudget work;
  return execute(context, state, operation, work);
}

storage::Result<Outcome> Plugin::query(const Context& context, const StateView& state, BytesView operation) const {
  WorkBudget work;
  return query(context, state, operation, work);
}

}  // namespace pbft::execution
