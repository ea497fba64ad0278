// The operations of a benchmark, from words with places to fill.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tools/pbftctl/cluster.h"

namespace pbft::ctl {

enum class Distribution { uniform, zipf };

struct OperationOptions {
  std::vector<std::string> words;       // of a write, or of whatever the plugin says the words are
  std::vector<std::string> read_words;  // of a read; empty: there are none
  unsigned reads_percent = 0;
  std::uint64_t keys = 1'000'000;
  Distribution distribution = Distribution::uniform;
  std::size_t value_bytes = 256;
  std::uint64_t seed = 1;
};

// Numbers below `keys`. zipf: with the skew 0.99 that YCSB uses, the most frequent ones scattered over all
// (Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994).
class KeyPicker {
 public:
  KeyPicker(std::uint64_t keys, Distribution distribution);
  [[nodiscard]] std::uint64_t pick(std::mt19937_64& random) const;

 private:
  std::uint64_t keys_;
  Distribution distribution_;
  double zeta_ = 0;
  double eta_ = 0;
};

// In each word: {i} becomes the number of the operation, {key} a number of the distribution, {value} as many random
// characters as are wanted (64 different ones: nothing that a compression of whole bytes makes smaller). One thread.
class OperationMaker {
 public:
  // `plugin` outlives it.
  OperationMaker(const execution::Plugin& plugin, OperationOptions options);

  [[nodiscard]] Result<execution::Plugin::Parsed> next(std::uint64_t number);

 private:
  [[nodiscard]] std::string filled(std::string word, std::uint64_t number);
  [[nodiscard]] std::string value();

  const execution::Plugin& plugin_;
  OperationOptions options_;
  KeyPicker picker_;
  std::mt19937_64 random_;
};

}  // namespace pbft::ctl
