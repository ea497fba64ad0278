// What every program that runs a replica does: its configuration, signals, the node, its HTTP server.
#pragma once

#include "node/runtime/node.h"

namespace pbft {

enum ExitCode : int { exit_ok = 0, exit_failed = 1, exit_usage = 2 };

// Loads the configuration and what it names, and starts the log. SIGTERM and SIGINT are left to serve() from then on,
// so this comes before any thread is started.
[[nodiscard]] runtime::Loaded<runtime::NodeInputs> prepare(const std::filesystem::path& config);

// Opens the replica and runs it until SIGTERM or SIGINT, or until it has to stop; says why in the log, and on standard
// error where the log is off. `inputs` are those of prepare(). `make_interceptor` is for tests
// (node/runtime/interceptor.h).
[[nodiscard]] ExitCode serve(runtime::NodeInputs inputs, runtime::StartOptions options,
                             const runtime::MakeInterceptor& make_interceptor = {});

}  // namespace pbft
