// The server itself, over real sockets, without a cluster behind it.
#include <arpa/inet.h>
#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <thread>

#include "node/http/server.h"

using namespace pbft;

namespace {

struct Served {
  explicit Served(bool demo_get, std::unique_ptr<client::Client> gateway = nullptr) {
    http::ServerParts parts;
    parts.config.port = 0;
    parts.config.demo_get = demo_get;
    parts.client = std::move(gateway);
    parts.status = [this] {
      ++asked;
      return std::string{R"({"name":"A"})"};
    };
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
  std::atomic<int> asked{0};  // for its status
  std::unique_ptr<http::Server> server;
};

// A connection without a library in between. A wait without an end is a failure after some seconds.
class RawConnection {
 public:
  explicit RawConnection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval limit{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  ~RawConnection() { ::close(socket_); }

  // False: the other side has closed.
  [[nodiscard]] bool send(const std::string& text) const {
    std::size_t sent = 0;
    while (sent < text.size()) {
      const auto count = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += static_cast<std::size_t>(count);
    }
    return true;
  }
  [[nodiscard]] std::string receive_some() const {
    char buffer[4096];
    const auto count = ::recv(socket_, buffer, sizeof buffer, 0);
    return {buffer, count < 0 ? 0 : static_cast<std::size_t>(count)};
  }
  // Everything until the other side closes.
  [[nodiscard]] std::string receive() {
    std::string all;
    char buffer[4096];
    for (;;) {
      const auto count = ::recv(socket_, buffer, sizeof buffer, 0);
      if (count < 0) timed_out = errno == EAGAIN;
      if (count <= 0) return all;
      all.append(buffer, static_cast<std::size_t>(count));
    }
  }
  bool timed_out = false;

 private:
  int socket_;
};

std::string head(const std::string& request_line, const Served& served, const std::string& more) {
  return request_line + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(served.server->port()) + "\r\n" + more +
         "\r\n";
}

// What the server answers to these bytes before it closes.
std::string answer_to(const Served& served, const std::string& bytes) {
  RawConnection connection{served.server->port()};
  static_cast<void>(connection.send(bytes));
  std::string answer = connection.receive();
  CHECK_FALSE(connection.timed_out);
  return answer;
}

// A client of four replicas none of which is there.
std::unique_ptr<client::Client> client_of_nobody() {
  crypto::initialize();
  client::ClientOptions options{{}, crypto::Identity::generate(), {}, {}};
  for (int i = 0; i < 4; ++i) {
    options.roster.replicas.push_back(crypto::Identity::generate().public_key());
    options.replicas.push_back({"replica " + std::to_string(i), "tcp://127.0.0.1:9"});
  }
  auto client = client::Client::open(std::move(options));
  if (!client) FAIL(client.error());
  return std::move(*client);
}

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

TEST_CASE("HEAD orders no operation, and answers where nothing changes") {
  const Served served{true, client_of_nobody()};
  auto client = served.client();
  const auto refused = client.Head("/req?warTime=1");
  REQUIRE(refused);
  CHECK(refused->status == 405);
  CHECK(refused->get_header_value("Allow") == "GET");
  CHECK(client.Head("/healthz")->status == 200);
  CHECK(client.Head("/status")->status == 200);
  CHECK(Served{false}.client().Head("/req?warTime=1")->status == 404);
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

TEST_CASE("A body of unknown length is refused before it is read, and the connection ends") {
  const Served served{false};
  const std::string json = "Content-Type: application/json\r\n";
  const std::string lengthy = "Content-Length: 2\r\n";
  for (const std::string& head_lines :
       {json + "Transfer-Encoding: chunked\r\n", json + "Transfer-Encoding: gzip, chunked\r\n",
        json + lengthy + "Transfer-Encoding: chunked\r\n", json + lengthy + "Content-Encoding: gzip\r\n", json}) {
    INFO(head_lines);
    // What follows must not be taken for another request.
    const std::string second = head("GET /healthz", served, "");
    const std::string answer = answer_to(served, head("POST /exec", served, head_lines) + second);
    CHECK_THAT(answer, Catch::StartsWith("HTTP/1.1 411 "));
    CHECK_THAT(answer, Catch::Contains("Content-Length") && Catch::Contains("Connection: close"));
    CHECK_THAT(answer, !Catch::Contains("X-Pbft-Pid"));
  }
  CHECK_THAT(answer_to(served, head("POST /exec", served, json + lengthy + lengthy)),
             Catch::StartsWith("HTTP/1.1 400 "));
  CHECK_THAT(answer_to(served, head("POST /exec", served, json + "Content-Length: -1\r\n")),
             Catch::StartsWith("HTTP/1.1 400 "));
  CHECK_THAT(answer_to(served, head("GET /healthz", served, "Transfer-Encoding: chunked\r\n")),
             Catch::StartsWith("HTTP/1.1 411 "));
}

TEST_CASE("Of a body in chunks the server takes in next to nothing") {
  const Served served{false};
  RawConnection connection{served.server->port()};
  REQUIRE(connection.send(head("POST /exec", served, "Transfer-Encoding: chunked\r\n")));
  CHECK_THAT(connection.receive(), Catch::StartsWith("HTTP/1.1 411 "));
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  std::size_t taken = 0;
  while (taken < (50U << 20) && connection.send(chunk)) taken += chunk.size();
  CHECK(taken < (8U << 20));  // what the kernel's buffers hold
}

TEST_CASE("A foreign Host is refused before the body is read") {
  const Served served{true};
  for (const char* line : {"POST /exec", "POST /query", "POST /nothing"}) {
    const std::string answer =
        answer_to(served, std::string{line} + " HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 4000000\r\n\r\n");
    CHECK_THAT(answer, Catch::StartsWith("HTTP/1.1 403 ") && Catch::Contains("Host"));
  }
  CHECK_THAT(answer_to(served, "GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
             Catch::StartsWith("HTTP/1.1 403 "));
}

TEST_CASE("A Range header gets nothing but the answer that there is without it") {
  const Served served{true};
  const std::string close = "Connection: close\r\n";
  const std::string foreign = "GET /status HTTP/1.1\r\nHost: evil.example\r\n";
  std::string many = "bytes=-";
  while (many.size() < 8000) many += ",1-2";
  for (const std::string& range :
       {std::string{"bytes=0-200000"}, std::string{"bytes=100000-200000"}, std::string{"bytes=-100000"},
        std::string{"bytes=-0"}, std::string{"bytes=5-"}, std::string{"bytes=-"}, std::string{"bytes=0-1,5-9"},
        std::string{"bytes=0-5,100000-200000"}, std::string{"bytes=9223372036854775807-9223372036854775807"}, many}) {
    INFO(range.substr(0, 100));
    const std::string line = "Range: " + range + "\r\n";
    CHECK(answer_to(served, foreign + line + "\r\n") == answer_to(served, foreign + "\r\n"));
    CHECK(answer_to(served, head("POST /exec", served, line)) == answer_to(served, head("POST /exec", served, "")));
    CHECK(answer_to(served, head("GET /status", served, close + line)) ==
          answer_to(served, head("GET /status", served, close)));
    CHECK(answer_to(served, head("GET /nothing", served, close + line)) ==
          answer_to(served, head("GET /nothing", served, close)));
  }
}

TEST_CASE("A Range header that is none is a 416, and no crash however long it is") {
  const Served served{false};
  std::string digits = "bytes=-";
  while (digits.size() < 8180) digits += '1';
  for (const std::string& range : {std::string{"bytes=9-1"}, std::string{"bytes=0-200000,9-1"}, std::string{"pears"},
                                   std::string{"bytes=0-1;"}, digits}) {
    INFO(range.substr(0, 100));
    const std::string answer =
        answer_to(served, head("GET /status", served, "Connection: close\r\nRange: " + range + "\r\n"));
    CHECK_THAT(answer, Catch::StartsWith("HTTP/1.1 416 "));
    CHECK_THAT(answer, Catch::EndsWith("\r\n\r\nthe request cannot be served\n"));
  }
  CHECK(served.client().Get("/healthz")->status == 200);
}

TEST_CASE("What follows a request that has no body by its method is not taken for another request") {
  const Served served{true};
  const std::string second = head("GET /healthz", served, "");
  const std::string length = "Content-Length: " + std::to_string(second.size()) + "\r\n";
  for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"}) {
    INFO(method);
    const std::string answer = answer_to(served, head(std::string{method} + " /status", served, length) + second);
    CHECK_THAT(answer, Catch::StartsWith("HTTP/1.1 400 ") && Catch::Contains("Connection: close"));
    CHECK_THAT(answer, !Catch::Contains("X-Pbft-Pid"));
  }
  // Refused for another reason, and after an answer that has no body by its method.
  CHECK_THAT(answer_to(served, "HEAD /status HTTP/1.1\r\nHost: evil.example\r\n\r\n" + second),
             Catch::StartsWith("HTTP/1.1 403 ") && !Catch::Contains("X-Pbft-Pid"));
  CHECK_THAT(answer_to(served, "GET /status HTTP/1.1\r\nHost: evil.example\r\nRange: bytes=-0\r\n\r\n" + second),
             Catch::StartsWith("HTTP/1.1 403 ") && !Catch::Contains("X-Pbft-Pid"));
}

TEST_CASE("A body in parts is refused before it is read") {
  const Served served{false};
  CHECK_THAT(answer_to(served, head("POST /exec", served,
                                    "Content-Length: 4000000\r\n"
                                    "Content-Type: multipart/form-data; boundary=x\r\n")),
             Catch::StartsWith("HTTP/1.1 415 ") && Catch::Contains("Connection: close"));
}

TEST_CASE("Health is answered while operations wait for a quorum") {
  Served served{false, client_of_nobody()};
  std::atomic<int> refused{0};
  std::atomic<int> ended{0};
  std::vector<std::thread> clients;
  const std::string request =
      head("POST /exec", served, "Content-Type: application/octet-stream\r\nContent-Length: 1\r\n") + "x";
  for (int i = 0; i < 32; ++i) {
    clients.emplace_back([&] {
      RawConnection connection{served.server->port()};
      static_cast<void>(connection.send(request));
      const std::string answer = connection.receive();
      if (answer.rfind("HTTP/1.1 503 ", 0) == 0 && answer.find("too many operations wait") != std::string::npos) {
        ++refused;
      }
      ++ended;
    });
  }
  while (ended < 20) std::this_thread::yield();
  CHECK(refused == 20);
  CHECK(ended == 20);
  const auto health = served.client().Get("/healthz");
  CHECK((health && health->status == 200));
  CHECK(ended == 20);  // the others still wait
  served.server.reset();
  for (std::thread& client : clients) client.join();
}

TEST_CASE("A client that does not end its request holds up no stop, and is refused when it does") {
  const auto half_then_stop = [](const std::string& path, const std::string& rest) {
    // The server may be asked to stop before it has begun to read; then there is nothing that holds it up.
    for (int attempt = 0; attempt < 50; ++attempt) {
      Served served{false, client_of_nobody()};
      RawConnection slow{served.server->port()};
      REQUIRE(slow.send(path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(served.server->port()) + "\r\nX: "));
      CHECK(served.client().Get("/healthz"));  // by now the slow connection has been accepted, too
      if (served.server->stop(std::chrono::milliseconds{100})) continue;
      REQUIRE(slow.send(rest));
      std::string answer = slow.receive();
      CHECK_FALSE(slow.timed_out);
      CHECK(served.server->stop(std::chrono::seconds{20}));
      CHECK(served.asked == 0);
      return answer;
    }
    FAIL("the server never waited for the request");
    return std::string{};
  };
  CHECK_THAT(half_then_stop("GET /healthz", "x\r\n\r\n"),
             Catch::StartsWith("HTTP/1.1 503 ") && Catch::EndsWith("\r\n\r\nthis node stops\n"));
  for (const std::string& path : {std::string{"GET /status"}, std::string{"POST /exec"}}) {
    const std::string answer =
        half_then_stop(path, "x\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n");
    CHECK_THAT(answer, Catch::StartsWith("HTTP/1.1 503 ") && Catch::Contains(R"("message":"this node stops")"));
  }
}

TEST_CASE("What is stopped while a body arrives is not begun") {
  Served served{false, client_of_nobody()};
  RawConnection slow{served.server->port()};
  REQUIRE(slow.send(head("POST /exec", served,
                         "Content-Type: application/octet-stream\r\nContent-Length: 2\r\nExpect: 100-continue\r\n") +
                    "x"));
  CHECK_THAT(slow.receive_some(), Catch::StartsWith("HTTP/1.1 100 "));
  static_cast<void>(served.server->stop(std::chrono::milliseconds{100}));
  static_cast<void>(slow.send("y"));
  CHECK_THAT(slow.receive(),
             Catch::StartsWith("HTTP/1.1 503 ") && Catch::Contains("this node stops") && !Catch::Contains("timed_out"));
  CHECK(served.server->stop(std::chrono::seconds{20}));
}
