// The two ways to say no.
#pragma once

#include "node/crypto/authenticator.h"

namespace pbft::crypto {

[[nodiscard]] inline tl::unexpected<Refused> refused(Refusal reason) {
  return tl::unexpected(Refused{reason, std::nullopt});
}
[[nodiscard]] inline tl::unexpected<Refused> malformed(wire::WireError error) {
  return tl::unexpected(Refused{Refusal::malformed, error});
}

}  // namespace pbft::crypto
