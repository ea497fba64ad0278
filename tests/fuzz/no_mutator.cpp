// For targets whose inputs are scripts: what libFuzzer does to bytes is all that they need.
#include "tests/fuzz/fuzz.h"

namespace pbft::fuzz {

bool mutate(Bytes&, std::uint64_t) {
  return false;
}

}  // namespace pbft::fuzz
