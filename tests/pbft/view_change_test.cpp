// TOCS 2002, section 4.4: leaving a primary, and what the next one takes over.
#include <catch2/catch.hpp>

#include "node/pbft/view_changer.h"
#include "tests/pbft/harness.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

const ClientId alice = client_id(1);

}  // namespace

TEST_CASE("the cluster goes on without its primary", "[view]") {
  for (const std::uint32_t n : {4U, 5U, 6U, 7U, 10U, 13U}) {
    CAPTURE(n);
    CoreCluster cluster{n};
    const SessionId session = cluster.open(alice);
    cluster.crash(0);
    for (std::uint32_t i = 1; i < n; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
    cluster.settle(60);
    for (std::uint32_t i = 1; i < n; ++i) {
      CHECK(cluster.node(i).status().view == View{1});
      CHECK(cluster.node(i).status().active);
      CHECK(cluster.node(i).executed.size() == 2);
    }
  }
}
