// One source for all the libraries that the host has to survive: each is built with one BAD_... defined, which breaks
// one thing about an otherwise complete table.
#include <csignal>
#include <stdexcept>

#include "pbft/plugin.h"

namespace {

[[maybe_unused]] void say(pbft_writer to, const char* text) {
  size_t size = 0;
  while (text[size] != '\0') ++size;
  to.append(to.handle, text, size);
}

[[maybe_unused]] int open(pbft_bytes, [[maybe_unused]] pbft_writer error, void**) {
#if defined(BAD_open_fails)
  say(error, "colour must be red or blue");
  return PBFT_FAILED;
#elif defined(BAD_open_silent)
  return PBFT_FAILED;
#elif defined(BAD_open_throws)
  throw std::runtime_error("thrown by open");
#elif defined(BAD_open_crashes)  // which no host can survive: it is for who starts the host
  std::raise(SIGSEGV);
  return PBFT_FAILED;
#else
  return PBFT_OK;
#endif
}

[[maybe_unused]] void close(void*) {
#if defined(BAD_close_throws)
  throw std::runtime_error("thrown by close");
#endif
}

[[maybe_unused]] int execute(void*, const pbft_context*, const pbft_state*, pbft_bytes,
                             [[maybe_unused]] pbft_writer result) {
#if defined(BAD_raw_throws)
  throw std::runtime_error("thrown by execute");
#elif defined(BAD_unknown_status)
  say(result, "all is well");
  return 77;
#else
  say(result, "done");
  return PBFT_OK;
#endif
}

#if defined(BAD_raw_throws)
int parse(void*, const pbft_bytes*, size_t, int*, pbft_writer) {
  throw 5;
}
int format(void*, pbft_bytes, pbft_bytes, pbft_writer) {
  throw 6;
}
#endif

[[maybe_unused]] pbft_plugin_v1 table() {
  pbft_plugin_v1 t{};
  t.abi_version = PBFT_PLUGIN_ABI_VERSION;
  t.struct_size = sizeof t;
  t.name = "bad";
  t.version = "1.0.0";
  t.execute = execute;
#if !defined(BAD_minimal)
  t.open = open;
  t.close = close;
#endif
#if defined(BAD_wrong_abi)
  t.abi_version = 7;
  t.name = reinterpret_cast<const char*>(1);  // Nothing beyond the version may be looked at.
#elif defined(BAD_small_table)
  t.struct_size = 16;
#elif defined(BAD_no_name)
  t.name = "";
#elif defined(BAD_no_version)
  t.version = nullptr;
#elif defined(BAD_no_execute)
  t.execute = nullptr;
#elif defined(BAD_bad_command)
  static const pbft_command commands[] = {{"go", nullptr, "Goes", 0}};
  t.commands = commands;
  t.command_count = 1;
#elif defined(BAD_raw_throws)
  t.parse = parse;
  t.format = format;
#endif
  return t;
}

}  // namespace

#if defined(BAD_unresolved)
extern "C" int a_function_that_is_nowhere();
#endif

#if !defined(BAD_no_symbol)
extern "C" PBFT_PLUGIN_EXPORT const pbft_plugin_v1* pbft_plugin() {
#if defined(BAD_null_table)
  return nullptr;
#elif defined(BAD_entry_throws)
  throw std::runtime_error("thrown by pbft_plugin");
#else
#if defined(BAD_unresolved)
  if (a_function_that_is_nowhere() != 0) return nullptr;
#endif
  static const pbft_plugin_v1 bad = table();
  return &bad;
#endif
}
#endif
