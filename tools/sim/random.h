// The simulator's only source of chance: xoshiro256**, seeded by splitmix64. Own code, because the distributions of
// the standard library differ between libraries and a seed has to mean the same run everywhere.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pbft::sim {

constexpr std::uint64_t splitmix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// Not standard C++, but what both compilers have.
__extension__ using Wide = unsigned __int128;

class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (std::uint64_t& word : state_) word = splitmix(seed);
  }

  // A stream of its own, so that drawing more in one part of a run changes nothing in the others.
  [[nodiscard]] static Random stream(std::uint64_t seed, std::string_view name) {
    std::uint64_t mixed = seed;
    for (const char c : name) mixed = (splitmix(mixed) ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return Random{mixed};
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound); bound > 0. The bias of the multiplication is far below what a run can show.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  // Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  bool chance(std::uint64_t per_mille) { return below(1000) < per_mille; }
  template <class T>
  const T& pick(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }

 private:
  std::uint64_t state_[4]{};
};

}  // namespace pbft::sim
