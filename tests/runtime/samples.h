// A correct genesis and configurations, which tests spoil in one place.
#pragma once

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <string>

#include "node/crypto/keys.h"

namespace pbft::testing {

inline std::string sample_key(std::uint8_t seed) {
  crypto::initialize();
  std::array<std::uint8_t, 32> bytes{};
  bytes[0] = seed;
  return crypto::to_hex(crypto::Identity::from_seed(bytes).public_key());
}

inline std::string sample_genesis() {
  return fmt::format(
      "cluster = \"sample\"\n"                         // 1
      "[[replica]]\nname = \"Apple\"\nkey = \"{}\"\n"  // 2 to 4
      "[[replica]]\nname = \"MS\"\nkey = \"{}\"\n"     // 5 to 7
      "[parameters]\n"                                 // 8
      "checkpoint_interval = 10\n"                     // 9
      "window = 40\n"                                  // 10
      "session_window = 100\n"                         // 11
      "max_sessions = 50\n"                            // 12
      "max_clock_skew_ms = 1500\n"                     // 13
      "[plugin]\nname = \"kv\"\nconfig = \"a = 1\"\n"  // 14 to 16
      "[clients]\nopen = false\nkeys = [\"{}\"]\n",    // 17 to 19
      sample_key(1), sample_key(2), sample_key(3));
}

inline std::string sample_node() {
  return "name = \"MS\"\n"                       // 1
         "genesis = \"genesis.toml\"\n"          // 2
         "key = \"replica.key\"\n"               // 3
         "gateway_key = \"gateway.key\"\n"       // 4
         "data = \"data\"\n"                     // 5
         "plugin = \"/plugins/kv.so\"\n"         // 6
         "durability = \"os\"\n"                 // 7
         "tick_ms = 20\n"                        // 8
         "[[replica]]\n"                         // 9
         "name = \"MS\"\n"                       // 10
         "publish = \"tcp://127.0.0.1:4110\"\n"  // 11
         "peer = \"tcp://127.0.0.1:4111\"\n"     // 12
         "client = \"tcp://127.0.0.1:4112\"\n"   // 13
         "[[replica]]\n"                         // 14
         "name = \"Apple\"\n"                    // 15
         "publish = \"tcp://127.0.0.1:4100\"\n"  // 16
         "peer = \"tcp://127.0.0.1:4101\"\n"     // 17
         "client = \"tcp://127.0.0.1:4102\"\n"   // 18
         "http = \"http://127.0.0.1:1111\"\n"    // 19
         "[http]\n"                              // 20
         "port = 1112\n"                         // 21
         "demo_get = true\n"                     // 22
         "[log]\n"                               // 23
         "level = \"debug\"\n"                   // 24
         "[tuning]\n"                            // 25
         "pipeline = 3\n";                       // 26
}

// The text with its only occurrence of `from` replaced.
inline std::string with(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::logic_error("the sample does not contain: " + from);
  return text.replace(at, from.size(), to);
}

}  // namespace pbft::testing
