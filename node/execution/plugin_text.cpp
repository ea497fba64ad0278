// The text form of a plugin: what people type and read.
#include <exception>
#include <limits>

#include "node/execution/host_state.h"
#include "node/execution/plugin_impl.h"
#include "node/pbft/messages.h"

namespace pbft::execution {

const std::vector<Command>& Plugin::commands() const {
  return impl_->commands;
}

tl::expected<Plugin::Parsed, std::string> Plugin::parse(const std::vector<std::string>& words) const {
  if (impl_->table().parse == nullptr) return tl::unexpected("the plugin " + impl_->name + " has no text form");
  std::vector<pbft_bytes> list;
  list.reserve(words.size());
  for (const std::string& word : words) list.push_back({as_bytes(word).data(), word.size()});

  Collector output(Limits::max_operation_bytes);
  int status = PBFT_FAILED;
  int read_only = 0;
  try {
    status = impl_->table().parse(impl_->instance, list.data(), list.size(), &read_only, output.writer());
  } catch (const std::exception& e) {
    return tl::unexpected(impl_->label + "an exception left its parse: " + e.what());
  } catch (...) {
    return tl::unexpected(impl_->label + "an exception left its parse");
  }
  if (output.overflowed()) {
    return tl::unexpected("the operation is larger than " + std::to_string(Limits::max_operation_bytes) + " bytes");
  }
  if (status != PBFT_OK) {
    return tl::unexpected(output.bytes().empty() ? "the plugin " + impl_->name + " does not know this operation"
                                                 : output.text());
  }
  return Parsed{std::move(output.bytes()), read_only != 0};
}

std::string Plugin::format(BytesView operation, BytesView result) const {
  if (impl_->table().format == nullptr) return std::string(as_text(result));
  // The text goes to a person at this end and nowhere else, so nothing limits it.
  Collector text(std::numeric_limits<std::size_t>::max());
  try {
    const int status = impl_->table().format(impl_->instance, {operation.data(), operation.size()},
                                             {result.data(), result.size()}, text.writer());
    if (status == PBFT_OK) return text.text();
  } catch (...) {  // A result that cannot be shown nicely is shown as it is.
  }
  return std::string(as_text(result));
}

}  // namespace pbft::execution
