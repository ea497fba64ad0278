// What `pbftctl bench` measures with: the histogram, and the operations that it makes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "plugins/kv/kv.h"
#include "plugins/sdk/pbft/plugin.hpp"
#include "tools/pbftctl/histogram.h"
#include "tools/pbftctl/load_generator.h"
#include "tools/pbftctl/operation_maker.h"

using namespace pbft;
using namespace pbft::ctl;

TEST_CASE("percentiles are those of the samples, to a 64th of their value") {
  std::vector<std::uint64_t> samples;
  std::mt19937_64 random{7};  // NOLINT: the same samples every time
  for (int i = 0; i < 20'000; ++i) samples.push_back(random() >> (random() % 64));
  Histogram histogram;
  for (const std::uint64_t sample : samples) histogram.add(sample);
  std::sort(samples.begin(), samples.end());
  CHECK(histogram.count() == samples.size());
  CHECK(histogram.largest() == samples.back());
  for (const double share : {0.0001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(samples.size())));
    const std::uint64_t exact = samples[rank - 1];
    INFO(share);
    CHECK(histogram.percentile(share) >= exact);
    CHECK(histogram.percentile(share) - exact <= exact / 64);
  }
}

TEST_CASE("small values are exact, nothing is 0, and merged histograms are one") {
  Histogram empty;
  CHECK(empty.percentile(0.5) == 0);
  Histogram low;
  Histogram high;
  for (std::uint64_t i = 0; i < 64; ++i) (i < 32 ? low : high).add(i);
  low.merge(high);
  for (std::uint64_t i = 0; i < 64; ++i) CHECK(low.percentile(static_cast<double>(i + 1) / 64) == i);
  CHECK(low.mean() == Approx(31.5));
}

TEST_CASE("keys are below their number, all of them are chosen, and zipf prefers some") {
  std::mt19937_64 random{3};  // NOLINT
  for (const std::uint64_t keys : {1, 2, 3, 100}) {
    for (const Distribution distribution : {Distribution::uniform, Distribution::zipf}) {
      const KeyPicker picker{keys, distribution};
      std::map<std::uint64_t, int> seen;
      for (int i = 0; i < 100'000; ++i) ++seen[picker.pick(random)];
      CHECK(seen.rbegin()->first < keys);
      if (distribution == Distribution::uniform) CHECK(seen.size() == keys);
      if (distribution == Distribution::zipf && keys == 100) {
        const auto most = std::max_element(seen.begin(), seen.end(),
                                           [](const auto& a, const auto& b) { return a.second < b.second; });
        // 1 / zeta(100, 0.99) = 0.189; two ranks may share a key.
        CHECK(most->second > 17'000);
        CHECK(most->second < 40'000);
      }
    }
  }
}

// Understands the words of the first operation only.
struct Picky : plugin::StateMachine {
  static constexpr const char* name = "picky";
  static constexpr const char* version = "1";
  static constexpr Command commands[] = {{"0", "0", "All there is", 0}};
  std::string execute(const Context&, State&, std::string_view) override { return {}; }
  Operation parse(const Words& words) const override {
    if (words[0] != "0") throw Failure("only 0 is understood");
    return {std::string(words[0]), false};
  }
};

TEST_CASE("an operation that the plugin refuses to make ends the run with its message") {
  const auto picky = *execution::Plugin::from_table(plugin::table<Picky>(), "");
  crypto::initialize();
  const crypto::Identity replica = crypto::Identity::generate();
  client::ClientOptions connection{{}, crypto::Identity::generate(), {}, {}};
  connection.roster.replicas.push_back(replica.public_key());
  connection.replicas.push_back({"A", "tcp://127.0.0.1:1"});  // nobody is there
  std::vector<std::unique_ptr<client::Client>> clients;
  clients.push_back(*client::Client::open(connection));
  LoadOptions options;
  options.operation.words = {"{i}"};
  options.outstanding = 2;
  options.warm_up = std::chrono::milliseconds{0};
  options.duration = std::chrono::seconds{2};
  options.timeout = std::chrono::milliseconds{1};
  SECTION("closed loop") {}
  SECTION("open loop") {
    options.rate = 1'000;
  }
  const auto report = run_load(clients, *picky, options, [](double, double) {});
  REQUIRE_FALSE(report);
  CHECK_THAT(report.error(), Catch::Contains("operation 1: ") && Catch::Contains("understands no `1`"));
}

TEST_CASE("words are filled, and reads come in their share") {
  const auto plugin = *execution::Plugin::from_table(pbft_kv_plugin(), "");
  OperationOptions options;
  options.words = {"put", "key-{key}-{i}", "{value}{value}"};
  options.read_words = {"get", "{key}"};
  options.reads_percent = 30;
  options.keys = 5;
  options.value_bytes = 100;
  OperationMaker maker{*plugin, options};
  std::set<std::string> operations;
  int reads = 0;
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    const auto made = maker.next(i);
    REQUIRE(made);
    reads += made->read_only ? 1 : 0;
    const std::string text{as_text(made->operation)};
    if (made->read_only) continue;
    CHECK(text.find("-" + std::to_string(i)) != std::string::npos);
    CHECK(text.find('{') == std::string::npos);
    CHECK(text.size() >= 200);
    operations.insert(text);
  }
  CHECK(reads > 500);
  CHECK(reads < 700);
  CHECK(operations.size() == 2'000U - static_cast<unsigned>(reads));
  options.words = {"fly"};
  options.reads_percent = 0;
  CHECK_FALSE(OperationMaker(*plugin, options).next(0));
}
