// The log of a node: standard error, one line per event that an operator cares about.
#pragma once

#include "node/runtime/config.h"

namespace pbft::runtime {

// Sets up spdlog's default logger. With json, each line is one object: {"time","level","name","message"}.
void start_log(const LogConfig& config, const std::string& name);

}  // namespace pbft::runtime
