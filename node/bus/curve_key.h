#pragma once

#include <array>
#include <cstdint>

namespace pbft::bus {

using CurveKey = std::array<std::uint8_t, 32>;  // X25519 public key, raw

}  // namespace pbft::bus
