// The C++ face of pbft/plugin.h (C++17): derive from StateMachine, name the class in PBFT_PLUGIN, done.
//
//   struct Hello : pbft::plugin::StateMachine {
//     static constexpr const char* name = "hello";
//     static constexpr const char* version = "1.0.0";
//     std::string execute(const Context&, State& state, std::string_view operation) override {
//       state.put("last", operation);
//       return "hello, " + std::string(operation);
//     }
//   };
//   PBFT_PLUGIN(Hello)
//
// An operation fails by throwing: Failure, or anything else that is derived from std::exception. Its what() becomes
// the result and none of its changes stays. Not so std::bad_alloc, which is no result but stops the replica
// (PBFT_EXHAUSTED): check a size that an operation asks for before you allocate it. Rules of determinism, ownership and
// threads: pbft/plugin.h.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "pbft/plugin.h"

namespace pbft::plugin {

// Makes the operation fail with a message for people. The message is a result: the same on all replicas.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Command = pbft_command;
using Words = std::vector<std::string_view>;

struct Context {
  std::uint64_t sequence_number;
  std::uint64_t time_us;    // agreed time, microseconds since the Unix epoch
  std::string_view client;  // 32 bytes: the client's public key
};

struct Operation {
  std::string bytes;
  bool read_only = false;
};

namespace detail {

// A call was refused by the host, which knows why and says so in the result.
struct Refused : std::runtime_error {
  Refused() : std::runtime_error("refused by the host") {}
};

inline pbft_bytes bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text(pbft_bytes b) {
  return b.size == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char*>(b.data), b.size);
}
inline void write(const pbft_writer& writer, std::string_view text) {
  if (!text.empty()) writer.append(writer.handle, text.data(), text.size());
}

}  // namespace detail

// What a query may do with the state. Copies are independent of the host; views are not handed out.
class ReadState {
 public:
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;

  explicit ReadState(const pbft_state& state) : state_(&state) {}

  [[nodiscard]] std::optional<std::string> get(std::string_view key) const {
    pbft_bytes value{nullptr, 0};
    const int status = state_->get(state_->handle, detail::bytes(key), &value);
    if (status == PBFT_NOT_FOUND) return std::nullopt;
    if (status != PBFT_OK) throw detail::Refused();
    return std::string(detail::text(value));
  }

  // Keys in [from, to) in ascending order of their bytes; an empty `to` means to the end. The visitor returns false
  // to stop; it must not change the state. What it is given is valid until it returns.
  void scan(std::string_view from, std::string_view to, const Visitor& visit) const {
    struct Walk {
      const Visitor& visit;
      std::exception_ptr thrown;
    } walk{visit, nullptr};
    const auto step = [](void* user, pbft_bytes key, pbft_bytes value) -> int {
      Walk& self = *static_cast<Walk*>(user);
      try {
        return self.visit(detail::text(key), detail::text(value)) ? 1 : 0;
      } catch (...) {  // Must not unwind through the host.
        self.thrown = std::current_exception();
        return 0;
      }
    };
    const int status = state_->scan(state_->handle, detail::bytes(from), detail::bytes(to), step, &walk);
    if (walk.thrown) std::rethrow_exception(walk.thrown);
    if (status != PBFT_OK) throw detail::Refused();
  }

 protected:
  const pbft_state* state_;
};

class State : public ReadState {
 public:
  using ReadState::ReadState;

  // Throws where key or value are beyond the limits (pbft/plugin.h); the operation is lost then.
  void put(std::string_view key, std::string_view value) {
    if (state_->put(state_->handle, detail::bytes(key), detail::bytes(value)) != PBFT_OK) throw detail::Refused();
  }
  void erase(std::string_view key) {
    if (state_->erase(state_->handle, detail::bytes(key)) != PBFT_OK) throw detail::Refused();
  }
};

// A plugin has, besides these functions, the constants `name` and `version`, a constructor that takes either the
// configuration text (std::string_view) or nothing (then a configuration that is not empty is refused), and, for the
// text form, `static constexpr Command commands[]`.
class StateMachine {
 public:
  using Context = pbft::plugin::Context;
  using State = pbft::plugin::State;
  using ReadState = pbft::plugin::ReadState;
  using Command = pbft::plugin::Command;
  using Words = pbft::plugin::Words;
  using Operation = pbft::plugin::Operation;
  using Failure = pbft::plugin::Failure;

  virtual ~StateMachine() = default;

  virtual std::string execute(const Context& context, State& state, std::string_view operation) = 0;
  virtual std::string query(const Context&, const ReadState&, std::string_view) {
    throw Failure("this state machine answers no queries");
  }
  // Text form. parse throws Failure with what is allowed.
  virtual Operation parse(const Words&) const { throw Failure("this state machine has no text form"); }
  virtual std::string format(std::string_view /*operation*/, std::string_view result) const {
    return std::string(result);
  }
};

// ---- Helpers for text forms -----------------------------------------------------------------------------------

// The whole of `text` as a decimal number; nothing where it is anything else.
template <class Integer>
[[nodiscard]] std::optional<Integer> to_number(std::string_view text) {
  Integer value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

// `text` with control characters as \xNN and backslashes doubled, so that it can be shown and read back; bytes from
// 0x80 up stay as they are (UTF-8).
[[nodiscard]] inline std::string printable(std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  std::string shown;
  shown.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      shown += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    } else {
      if (c == '\\') shown += '\\';
      shown += c;
    }
  }
  return shown;
}

// ---- The table -------------------------------------------------------------------------------------------------

namespace detail {

// Runs `body`, writes the text that it returns or the message of what it throws. Memory that runs out is trouble of
// this process alone and has a status of its own; the message is for open, parse and format.
template <class Body>
int guarded(const pbft_writer& output, Body&& body) noexcept {
  try {
    try {
      write(output, body());
      return PBFT_OK;
    } catch (const std::bad_alloc&) {
      write(output, "out of memory");
      return PBFT_EXHAUSTED;
    } catch (const std::exception& e) {
      write(output, e.what());
    } catch (...) {
      write(output, "an exception that is no std::exception");
    }
  } catch (...) {  // The writer is the host's and throws nothing; this is for compilers.
  }
  return PBFT_FAILED;
}

inline Context context_of(const pbft_context& c) {
  return {c.sequence_number, c.time_us, {reinterpret_cast<const char*>(c.client), sizeof c.client}};
}

template <class T, class = void>
struct CommandsOf {
  static constexpr const Command* list = nullptr;
  static constexpr std::size_t count = 0;
};
template <class T>
struct CommandsOf<T, std::void_t<decltype(T::commands[0])>> {
  static constexpr const Command* list = T::commands;
  static constexpr std::size_t count = sizeof(T::commands) / sizeof(T::commands[0]);
};

template <class T>
struct Adapter {
  static_assert(std::is_base_of_v<StateMachine, T>, "a plugin's class derives from pbft::plugin::StateMachine");
  static_assert(std::is_constructible_v<T, std::string_view> || std::is_default_constructible_v<T>,
                "a plugin's constructor takes the configuration (std::string_view) or nothing");

  static T& self(void* instance) { return *static_cast<T*>(instance); }

  static int open(pbft_bytes config, pbft_writer error, void** instance) noexcept {
    return guarded(error, [&]() -> std::string {
      if constexpr (std::is_constructible_v<T, std::string_view>) {
        *instance = std::make_unique<T>(text(config)).release();
      } else {
        if (config.size != 0) throw Failure("it takes no configuration");
        *instance = std::make_unique<T>().release();
      }
      return {};
    });
  }
  static void close(void* instance) noexcept { delete static_cast<T*>(instance); }

  static int execute(void* instance, const pbft_context* context, const pbft_state* state, pbft_bytes operation,
                     pbft_writer result) noexcept {
    return guarded(result, [&] {
      State view(*state);
      return self(instance).execute(context_of(*context), view, text(operation));
    });
  }
  static int query(void* instance, const pbft_context* context, const pbft_state* state, pbft_bytes operation,
                   pbft_writer result) noexcept {
    return guarded(result,
                   [&] { return self(instance).query(context_of(*context), ReadState(*state), text(operation)); });
  }
  static int parse(void* instance, const pbft_bytes* words, size_t count, int* read_only, pbft_writer output) noexcept {
    return guarded(output, [&] {
      Words list;
      for (size_t i = 0; i < count; ++i) list.push_back(text(words[i]));
      Operation operation = self(instance).parse(list);
      *read_only = operation.read_only ? 1 : 0;
      return std::move(operation.bytes);
    });
  }
  static int format(void* instance, pbft_bytes operation, pbft_bytes result, pbft_writer output) noexcept {
    return guarded(output, [&] { return self(instance).format(text(operation), text(result)); });
  }

  static constexpr pbft_plugin_v1 table = {
      PBFT_PLUGIN_ABI_VERSION,
      sizeof(pbft_plugin_v1),
      T::name,
      T::version,
      &open,
      &close,
      &execute,
      &query,
      CommandsOf<T>::list,
      CommandsOf<T>::count,
      CommandsOf<T>::count == 0 ? nullptr : &parse,
      CommandsOf<T>::count == 0 ? nullptr : &format,
  };
};

}  // namespace detail

// The table of a class, for programs that link it in.
template <class T>
[[nodiscard]] const pbft_plugin_v1* table() {
  return &detail::Adapter<T>::table;
}

}  // namespace pbft::plugin

#define PBFT_PLUGIN(Class)                                                       \
  extern "C" PBFT_PLUGIN_EXPORT const pbft_plugin_v1* PBFT_PLUGIN_SYMBOL(void) { \
    return pbft::plugin::table<Class>();                                         \
  }
