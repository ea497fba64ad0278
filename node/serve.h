// What every program that runs a replica does: signals, the node, its HTTP server.
#pragma once

#include "node/runtime/node.h"

namespace pbft {

enum ExitCode : int { exit_ok = 0, exit_failed = 1, exit_usage = 2 };

// SIGTERM and SIGINT are left to serve(). Before any thread is started.
void block_signals();

// Opens the replica and runs it until SIGTERM or SIGINT, or until it has to stop; says in the log why. block_signals()
// has been called, and the log is started. `make_interceptor` is for tests (node/runtime/interceptor.h).
[[nodiscard]] ExitCode serve(runtime::NodeInputs inputs, runtime::StartOptions options,
                             const runtime::MakeInterceptor& make_interceptor = {});

}  // namespace pbft
