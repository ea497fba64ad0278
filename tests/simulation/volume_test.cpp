// What the simulated file system loses, and what it keeps.
#include "tools/sim/volume.h"

#include <catch2/catch.hpp>
#include <set>

using namespace pbft::sim;
using Kept = Volume::Kept;
using Outcome = Volume::Outcome;

namespace {

struct Machine {
  Random random{3};
  std::shared_ptr<Volume> volume = std::make_shared<Volume>();
  Machine() { volume->make_directory("/d"); }
  Volume::FilePtr make(const std::string& name) {
    Volume::FilePtr file;
    REQUIRE(volume->create("/d/" + name, file) == Outcome::done);
    return file;
  }
  void append(const Volume::FilePtr& file, std::string_view text) {
    REQUIRE(volume->append(*file, text) == Outcome::done);
  }
  void sync(const Volume::FilePtr& file) { REQUIRE(volume->sync(*file) == Outcome::done); }
  void sync_names() { REQUIRE(volume->sync_directory("/d") == Outcome::done); }
};

std::optional<std::string> content(const Volume& volume, const std::string& name) {
  const auto file = volume.open("/d/" + name);
  if (!file) return std::nullopt;
  return volume.read(*file, 0, 1U << 20);
}

}  // namespace

TEST_CASE("volume: only what was synced is sure, of bytes and of names") {
  Machine machine;
  const auto file = machine.make("a");
  machine.append(file, "synced");
  machine.sync(file);
  CHECK_FALSE(content(*machine.volume->after_power_loss(machine.random, Kept::nothing), "a"));
  machine.sync_names();
  machine.append(file, " and not");
  CHECK(content(*machine.volume->after_power_loss(machine.random, Kept::nothing), "a") == "synced");
  CHECK(content(*machine.volume->after_power_loss(machine.random, Kept::everything), "a") == "synced and not");
  // The one that goes on is not touched.
  CHECK(content(*machine.volume, "a") == "synced and not");

  const auto other = machine.make("b");
  machine.append(other, "new");
  machine.sync(other);
  REQUIRE(machine.volume->rename("/d/b", "/d/a") == Outcome::done);
  CHECK(content(*machine.volume, "a") == "new");
  const auto after = machine.volume->after_power_loss(machine.random, Kept::nothing);
  CHECK(content(*after, "a") == "synced");
  CHECK_FALSE(content(*after, "b"));
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const auto left = machine.volume->after_power_loss(machine.random, Kept::some);
    const bool has_b = content(*left, "b").has_value();
    seen.insert(content(*left, "a") == "new" ? "renamed" : has_b ? "made" : "neither");
    CHECK_FALSE((has_b && content(*left, "a") == "new"));  // a rename is all or nothing
  }
  CHECK(seen.size() == 3);
}

TEST_CASE("volume: of appended bytes the first ones are left, with a torn sector at most") {
  Machine machine;
  const auto file = machine.make("log");
  machine.append(file, std::string(1000, 's'));
  machine.sync(file);
  machine.sync_names();
  machine.append(file, std::string(5000, 'u'));
  std::set<std::size_t> sizes;
  bool torn = false;
  for (int i = 0; i < 300; ++i) {
    const std::string left = *content(*machine.volume->after_power_loss(machine.random, Kept::some), "log");
    REQUIRE(left.substr(0, 1000) == std::string(1000, 's'));
    const std::size_t good = std::min(left.find_first_not_of('u', 1000), left.size());
    REQUIRE(left.size() - good <= Volume::sector_bytes);
    torn = torn || good < left.size();
    sizes.insert(good);
  }
  CHECK(torn);
  CHECK(sizes.contains(1000));
  CHECK(sizes.contains(6000));
  CHECK(sizes.size() > 50);
}

TEST_CASE("volume: a block that is written over is old, new or garbage, and its neighbour is untouched") {
  Machine machine;
  const auto file = machine.make("mark");
  machine.append(file, std::string(2 * Volume::block_bytes, '0'));
  machine.sync(file);
  machine.sync_names();
  REQUIRE(machine.volume->write(*file, Volume::block_bytes + 5, "11111") == Outcome::done);
  std::set<std::string> seen;
  for (int i = 0; i < 300; ++i) {
    const std::string left = *content(*machine.volume->after_power_loss(machine.random, Kept::some), "mark");
    REQUIRE(left.substr(0, Volume::block_bytes) == std::string(Volume::block_bytes, '0'));
    const std::string bytes = left.substr(Volume::block_bytes + 5, 5);
    seen.insert(bytes == "00000" || bytes == "11111" ? bytes : "garbage");
  }
  CHECK(seen == std::set<std::string>{"00000", "11111", "garbage"});
  const std::string torn = *content(*machine.volume->with_torn_blocks(machine.random), "mark");
  CHECK(torn.substr(0, Volume::block_bytes) == std::string(Volume::block_bytes, '0'));
  CHECK(torn.substr(Volume::block_bytes) != std::string(Volume::block_bytes, '0'));
}

TEST_CASE("volume: failures hit what they are for; a full disk takes a part") {
  Machine machine;
  const auto log = machine.make("1.log");
  const auto table = machine.make("2.sst");
  DiskFailure failure;
  failure.what = DiskFailure::What::no_space;
  failure.syncs = false;
  failure.suffix = ".sst";
  machine.volume->fail(failure);
  CHECK(machine.volume->append(*table, "half") == Outcome::no_space);
  CHECK(content(*machine.volume, "2.sst") == "ha");
  CHECK(machine.volume->sync(*table) == Outcome::done);
  CHECK(machine.volume->append(*log, "x") == Outcome::done);
  Volume::FilePtr other;
  CHECK(machine.volume->create("/d/3.sst", other) == Outcome::no_space);
  CHECK_FALSE(machine.volume->open("/d/3.sst"));
  failure = {};
  failure.writes = false;
  machine.volume->fail(failure);
  CHECK(machine.volume->append(*table, "x") == Outcome::done);
  CHECK(machine.volume->sync(*log) == Outcome::io);
  CHECK(machine.volume->sync_directory("/d") == Outcome::io);
  CHECK(machine.volume->failures() == 4);
  machine.volume->fail(std::nullopt);
  CHECK(machine.volume->sync(*log) == Outcome::done);
}
