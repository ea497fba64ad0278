// What the tests of pbftctl share: clusters to be made, and commands to be run.
#pragma once

#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>

#include "tools/pbftctl/cluster_maker.h"

namespace pbft::testing {

inline ctl::ClusterSpec picked(const std::string& plugin) {
  ctl::ClusterSpec spec;
  spec.plugin = plugin;
  spec.plugin_directory = PLUGIN_DIRECTORY;
  spec.pick_ports = true;
  return spec;
}

inline std::string run(const std::string& command, int& exit_code) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, got);
  exit_code = WEXITSTATUS(::pclose(pipe));
  return output;
}

}  // namespace pbft::testing
