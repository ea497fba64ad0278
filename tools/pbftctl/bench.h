// What the two kinds of benchmark share.
#pragma once

#include "tools/pbftctl/histogram.h"
#include "tools/pbftctl/operation_maker.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {

[[nodiscard]] nlohmann::json to_json(const Histogram& latency);
[[nodiscard]] std::string describe(const Histogram& latency);

// One client, one operation at a time, and what bare ZeroMQ needs for a round trip (latency.cpp).
[[nodiscard]] int bench_sequential(OperationOptions words, std::size_t count, const Globals& globals);

}  // namespace pbft::ctl
