// What the fuzz targets share: how a property fails, how an input is taken apart, and what an input costs in memory.
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "node/pbft/types.h"

namespace pbft::fuzz {

// Says what should have held and ends the program, so that libFuzzer keeps the input.
[[noreturn]] void violated(const std::string& what);
inline void holds(bool condition, const char* what) {
  if (!condition) violated(what);
}

// Takes an input apart from the front. What is not there any more is zero or empty, so every input means something.
class Input {
 public:
  explicit Input(BytesView bytes) : rest_(bytes) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte();
  // Of `size` bytes, little-endian.
  std::uint64_t number(std::size_t size);
  // One of [0, bound); bound is not 0.
  std::size_t below(std::size_t bound);
  bool flag() { return (byte() & 1) != 0; }
  // A length byte and as many bytes, or fewer at the end.
  Bytes bytes();
  std::string text();
  // A number as they are in messages: small, at the edge of an encoding, or any.
  std::uint64_t value();
  [[nodiscard]] BytesView rest() const { return rest_; }

 private:
  BytesView take(std::size_t size);
  BytesView rest_;
};

// Counts the bytes that this program has asked the heap for since it was made, whether they were given back or not.
class Measured {
 public:
  Measured();
  [[nodiscard]] std::size_t bytes() const;

 private:
  std::size_t start_;
};

// Where temporary directories are made: in memory where the system has such a place.
[[nodiscard]] std::filesystem::path scratch_parent();

using Seeds = std::vector<Bytes>;
// Each target has them: a few inputs that lead far into the code. `PROGRAM --seeds DIRECTORY` writes them there.
[[nodiscard]] Seeds seeds();
// One input of the target. Ends the program where a property does not hold.
void run(BytesView input);
// Where a target changes inputs in a way of its own; the generic one is tried beside it. False: nothing was changed.
[[nodiscard]] bool mutate(Bytes& input, std::uint64_t seed);

}  // namespace pbft::fuzz
