// What the lanes of a load do, on the kv plugin. A lane has one operation outstanding at a time. The functions are
// called from the threads of many clients.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/client/cpp/pbft/client.h"

namespace pbft::load {

// One operation after the other, by all lanes together.
class Workload {
 public:
  virtual ~Workload() = default;
  struct Operation {
    std::uint64_t id = 0;  // for done()
    std::string bytes;
    bool read = false;  // it only reads, and need not be ordered
  };
  // The next one of this lane; nothing: the lane has done its work.
  [[nodiscard]] virtual std::optional<Operation> next(std::size_t lane) = 0;
  virtual void done(std::size_t lane, const Operation& operation, const client::Outcome& outcome) = 0;
  // Looks whether the cluster holds what it acknowledged; the problems, for people. All lanes have ended.
  [[nodiscard]] virtual std::vector<std::string> verify(client::Client& client) = 0;
};

// Every lane puts keys of its own and increments one counter in turn, so that it can be told afterwards whether a write
// that was acknowledged is lost, or one took effect twice.
class CheckedWrites final : public Workload {
 public:
  // `name` keeps the keys apart from those of another load on the same cluster.
  CheckedWrites(std::string name, std::size_t lanes) : name_(std::move(name)), lanes_(lanes) {}

  [[nodiscard]] std::optional<Operation> next(std::size_t lane) override;
  void done(std::size_t lane, const Operation& operation, const client::Outcome& outcome) override;
  [[nodiscard]] std::vector<std::string> verify(client::Client& client) override;

 private:
  struct Lane {
    std::uint64_t next = 0;  // even: a put, odd: an increment
    std::vector<std::uint64_t> puts;
    std::vector<std::int64_t> sums;
    std::uint64_t unknown_sums = 0;
  };

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> acknowledged() const;
  void verify_sums(std::int64_t total, std::vector<std::string>& problems) const;
  [[nodiscard]] std::string counter() const { return name_ + "-total"; }
  [[nodiscard]] std::string key_of(std::size_t lane, std::uint64_t number) const;

  std::string name_;
  std::vector<Lane> lanes_;  // each is used by one thread at a time
};

// Puts values of random bytes, which no compression makes smaller, under `keys` keys, one after the other or in random
// order.
class Fill final : public Workload {
 public:
  struct Options {
    std::uint64_t keys = 100'000;
    std::uint64_t writes = 0;  // 0: until it is stopped
    std::size_t value_bytes = 100;
    std::uint64_t seed = 1;
    bool random = false;
  };
  explicit Fill(const Options& options) : options_(options) {}

  [[nodiscard]] std::optional<Operation> next(std::size_t lane) override;
  void done(std::size_t, const Operation&, const client::Outcome&) override {}
  [[nodiscard]] std::vector<std::string> verify(client::Client&) override { return {}; }

  [[nodiscard]] static std::string key(std::uint64_t number);

 private:
  Options options_;
  std::atomic<std::uint64_t> issued_{0};
};

}  // namespace pbft::load
