// The server itself, over real sockets, without a cluster behind it.
#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "node/http/server.h"

using namespace pbft;

namespace {

struct Served {
  explicit Served(bool demo_get) {
    http::ServerParts parts;
    parts.config.port = 0;
    parts.config.demo_get = demo_get;
    parts.status = [] { return std::string{R"({"name":"A"})"}; };
    parts.unhealthy = [this]() -> std::optional<std::string> {
      if (healthy) return std::nullopt;
      return "the event loop has not turned";
    };
    auto opened = http::Server::open(std::move(parts));
    REQUIRE(opened);
    server = std::move(*opened);
  }
  [[nodiscard]] httplib::Client client() const { return httplib::Client{"127.0.0.1", server->port()}; }

  std::atomic<bool> healthy{true};
  std::unique_ptr<http::Server> server;
};

}  // namespace

TEST_CASE("Health follows the node") {
  Served served{false};
  auto client = served.client();
  auto answer = client.Get("/healthz");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body == "ok\n");
  CHECK(answer->get_header_value("X-Pbft-Pid") == std::to_string(::getpid()));
  served.healthy = false;
  answer = client.Get("/healthz");
  REQUIRE(answer);
  CHECK(answer->status == 503);
  CHECK(answer->body == "the event loop has not turned\n");
}

TEST_CASE("Status is the node's JSON, without leave for other origins") {
  const Served served{false};
  auto client = served.client();
  const auto answer = client.Get("/status");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body == "{\"name\":\"A\"}\n");
  CHECK(answer->get_header_value("Content-Type") == "application/json");
  CHECK_FALSE(answer->has_header("Access-Control-Allow-Origin"));
}

TEST_CASE("GET /req exists only where the configuration says so") {
  const Served without{false};
  CHECK(without.client().Get("/req?warTime=1")->status == 404);
  const Served with{true};
  CHECK(with.client().Get("/req?warTime=1")->status == 400);  // there is no plugin here
  const httplib::Headers foreign{{"Host", "evil.example:1111"}};
  CHECK(with.client().Get("/req?warTime=1", foreign)->status == 403);
}

TEST_CASE("POST refuses form types, foreign pages and what is too large") {
  const Served served{false};
  auto client = served.client();
  CHECK(client.Post("/exec", "put a 1", "text/plain")->status == 415);
  CHECK(client.Post("/exec", {{"Origin", "http://evil.example"}}, "{}", "application/json")->status == 403);
  CHECK(client.Post("/exec", std::string(5U << 20, 'x'), "application/octet-stream")->status == 413);
  CHECK(client.Post("/exec", "{}", "application/json")->status == 400);
  CHECK(client.Post("/exec", "x", "application/octet-stream")->status == 503);  // no gateway
}

TEST_CASE("A port that is in use is an error, not shared") {
  const Served served{false};
  http::ServerParts parts;
  parts.config.port = served.server->port();
  const auto second = http::Server::open(std::move(parts));
  REQUIRE_FALSE(second);
  CHECK_THAT(second.error(), Catch::Contains(std::to_string(served.server->port())));
}
