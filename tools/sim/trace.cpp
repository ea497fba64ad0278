#include "tools/sim/trace.h"

#include <fmt/format.h>

#include <bit>
#include <cstdio>
#include <cstring>

namespace pbft::sim {
namespace {

std::uint64_t mix(std::uint64_t state, std::uint64_t word) {
  state ^= word * 0x9fb21c651e98df25ULL;
  state = std::rotl(state, 29) * 0xd6e8feb86659fd93ULL;
  return state ^ (state >> 32);
}

}  // namespace

std::uint64_t fast_hash(BytesView bytes) {
  std::uint64_t state = 0x452821e638d01377ULL ^ bytes.size();
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    state = mix(state, word);
  }
  std::uint64_t tail = 0;
  if (at < bytes.size()) std::memcpy(&tail, bytes.data() + at, bytes.size() - at);
  return mix(state, tail);
}

void Trace::record(Kind kind, std::uint64_t a, std::uint64_t b, std::uint64_t detail) {
  const std::uint64_t head = (static_cast<std::uint64_t>(kind) << 56) ^ (a << 28) ^ b;
  low_ = mix(mix(mix(low_, scheduler_.now()), head), detail);
  high_ = mix(mix(high_, detail + events_), head ^ low_);
  ++events_;
}

void Trace::say(const std::function<std::string()>& text) const {
  if (!verbose_) return;
  const std::string line = fmt::format("{:>12.6f}  {}\n", static_cast<double>(scheduler_.now()) / 1e6, text());
  std::fwrite(line.data(), 1, line.size(), stdout);
}

std::string Trace::hash() const {
  return fmt::format("{:016x}{:016x}", high_, low_);
}

}  // namespace pbft::sim
