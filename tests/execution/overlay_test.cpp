// The overlay against a plain map, with the real store below.
#include "node/execution/overlay.h"

#include <catch2/catch.hpp>
#include <random>

#include "tests/execution/store_fixture.h"

using namespace pbft;
using namespace pbft::execution;

namespace {

using Map = std::map<Bytes, Bytes>;

Map scan_all(const Overlay& overlay, BytesView from, BytesView to, std::size_t limit) {
  Map seen;
  Bytes last;
  const auto scanned = overlay.scan(from, to, [&](BytesView key, const std::optional<BytesView>& value) {
    const Bytes k(key.begin(), key.end());
    CHECK((last.empty() || last < k));
    last = k;
    if (!value) return true;  // erased by this batch
    seen.emplace(k, Bytes(value->begin(), value->end()));
    return seen.size() < limit;
  });
  REQUIRE(scanned);
  return seen;
}

Map expected(const Map& model, const Bytes& from, const Bytes& to, std::size_t limit) {
  Map seen;
  for (const auto& [key, value] : model) {
    if (key >= from && (to.empty() || key < to) && seen.size() < limit) seen.emplace(key, value);
  }
  return seen;
}

}  // namespace

TEST_CASE("overlay: random changes, rollbacks and scans against a model", "[overlay]") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    const auto key = [&] {
      Bytes k(1 + below(2));
      for (auto& byte : k) byte = static_cast<std::uint8_t>(below(2) == 0 ? below(4) : 252 + below(4));
      return k;
    };
    StoreFixture fixture;
    Map model;
    std::uint64_t n = 0;
    for (int batch = 0; batch < 8; ++batch) {
      Overlay overlay(*fixture.store);
      for (int request = 0; request < 6; ++request) {
        Map attempt = model;
        for (unsigned change = below(6); change > 0; --change) {
          const Bytes k = key();
          if (below(3) == 0) {
            overlay.erase(k);
            attempt.erase(k);
          } else {
            const Bytes value(below(3), static_cast<std::uint8_t>(below(256)));
            overlay.put(k, value);
            attempt[k] = value;
          }
          const Bytes probe = key();
          const auto got = overlay.get(probe);
          REQUIRE(got);
          REQUIRE(got->has_value() == (attempt.count(probe) == 1));
          if (*got) CHECK(**got == attempt[probe]);
        }
        const Bytes from = below(3) == 0 ? Bytes{} : key();
        const Bytes to = below(3) == 0 ? Bytes{} : key();
        const std::size_t limit = below(2) == 0 ? 1 + below(4) : 1000;
        CHECK(scan_all(overlay, from, to, limit) == expected(attempt, from, to, limit));
        if (below(3) == 0) {
          overlay.drop_request();
        } else {
          overlay.keep_request();
          model = attempt;
        }
      }
      fixture.apply(++n, overlay.take());
    }
    const Overlay end(*fixture.store);
    CHECK(scan_all(end, {}, {}, 1000) == model);
  }
}
