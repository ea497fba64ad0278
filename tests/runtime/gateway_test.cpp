#include "node/http/gateway.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "node/pbft/messages.h"

#ifdef __has_feature
#define PBFT_HAS_FEATURE(feature) __has_feature(feature)
#else
#define PBFT_HAS_FEATURE(feature) 0
#endif

using namespace pbft;
using namespace pbft::http;

namespace {

#if defined(__SANITIZE_ADDRESS__) || PBFT_HAS_FEATURE(address_sanitizer)
constexpr bool with_address_sanitizer = true;
#else
constexpr bool with_address_sanitizer = false;
#endif

constexpr Listener on_loopback{true, 1111};
constexpr Listener on_network{false, 1111};

int status(const Checked<void>& checked) {
  return checked ? 200 : checked.error().status;
}

}  // namespace

TEST_CASE("The Host header must name this machine and the port") {
  for (const char* host : {"localhost:1111", "LOCALHOST:1111", "127.0.0.1:1111", "[::1]:1111"}) {
    CAPTURE(host);
    CHECK(host_is_local(host, 1111));
  }
  for (const char* host : {"", "localhost", "localhost:1112", "localhost:11111", "localhost:1111.evil.example",
                           "evil.example:1111", "127.0.0.1.evil.example:1111", "localhost.:1111", " localhost:1111",
                           "0.0.0.0:1111", "::1:1111", "localhost:01111"}) {
    CAPTURE(host);
    CHECK_FALSE(host_is_local(host, 1111));
  }
  CHECK(host_is_local("localhost", 80));
  CHECK(host_is_local("localhost:80", 80));
}

TEST_CASE("What other web pages cause is refused") {
  CHECK(status(check_source({"localhost:1111", "", ""}, on_loopback)) == 200);
  CHECK(status(check_source({"localhost:1111", "http://localhost:1111", "same-origin"}, on_loopback)) == 200);
  CHECK(status(check_source({"localhost:1111", "", "none"}, on_loopback)) == 200);
  CHECK(status(check_source({"evil.example:1111", "", ""}, on_loopback)) == 403);
  CHECK(status(check_source({"localhost:1111", "http://evil.example", ""}, on_loopback)) == 403);
  CHECK(status(check_source({"localhost:1111", "http://localhost:1112", ""}, on_loopback)) == 403);
  CHECK(status(check_source({"localhost:1111", "null", ""}, on_loopback)) == 403);
  CHECK(status(check_source({"localhost:1111", "", "cross-site"}, on_loopback)) == 403);
  CHECK(status(check_source({"localhost:1111", "", "same-site"}, on_loopback)) == 403);
}

TEST_CASE("Beyond loopback any Host is taken, but still no other page") {
  CHECK(status(check_source({"node1.example:1111", "", ""}, on_network)) == 200);
  CHECK(status(check_source({"node1.example:1111", "http://node1.example:1111", ""}, on_network)) == 200);
  CHECK(status(check_source({"node1.example:1111", "http://evil.example", ""}, on_network)) == 403);
}

TEST_CASE("GET /req takes exactly one name=value") {
  CHECK(words_of_parameters({{"warTime", "1234"}}) == Words{"warTime", "1234"});
  CHECK(words_of_parameters({{"warTime", ""}}) == Words{"warTime", ""});
  CHECK(words_of_parameters({}).error().status == 400);
  CHECK(words_of_parameters({{"", "1"}}).error().status == 400);
  CHECK(words_of_parameters({{"a", "1"}, {"b", "2"}}).error().status == 400);
  CHECK(words_of_parameters({{"a", "1"}, {"a", "2"}}).error().status == 400);
}

TEST_CASE("A body has one length, and only methods whose body is read have one") {
  const auto of = [](const char* method, std::vector<std::string> lengths) {
    return status(check_body({method, "", false, false, std::move(lengths)}));
  };
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) {
    CAPTURE(method);
    CHECK(of(method, {"17"}) == 200);
    CHECK(of(method, {}) == 411);
    CHECK(of(method, {"17", "17"}) == 400);
    CHECK(of(method, {"+17"}) == 400);
    CHECK(of(method, {""}) == 400);
  }
  for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"}) {
    CAPTURE(method);
    CHECK(of(method, {"0"}) == 200);
    CHECK(of(method, {"000"}) == 200);
    CHECK(of(method, {"17"}) == 400);
    CHECK(of(method, {"010"}) == 400);
    CHECK(of(method, {"99999999999999999999"}) == 400);
  }
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) CHECK(of(method, {}) == 200);
  CHECK(status(check_body({"GET", "", true, false, {}})) == 411);
  CHECK(status(check_body({"POST", "", false, true, {"17"}})) == 411);
  CHECK(status(check_body({"POST", "Multipart/Form-Data; boundary=x", false, false, {"17"}})) == 415);
}

TEST_CASE("A body is words as JSON, or an operation as it is") {
  const auto words = parse_body("application/json; charset=utf-8", R"({"words": ["put", "a", "1"]})");
  REQUIRE(words);
  CHECK(std::get<Words>(*words) == Words{"put", "a", "1"});
  const auto raw = parse_body("Application/Octet-Stream", std::string{"\0\x01", 2});
  REQUIRE(raw);
  CHECK(std::get<Bytes>(*raw) == Bytes{0, 1});
}

TEST_CASE("Types that a plain HTML form can send are refused") {
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                           "text/plain; application/json", "application/jsonx"}) {
    CAPTURE(type);
    const auto body = parse_body(type, R"({"words": ["put", "a", "1"]})");
    REQUIRE_FALSE(body);
    CHECK(body.error().status == 415);
  }
}

TEST_CASE("A wrong body is a 400 that says what is allowed") {
  for (const char* body : {"", "put a 1", "[]", "{}", R"({"words": "put"})", R"({"words": []})", R"({"words": [1]})",
                           R"({"words": ["a"], "more": 1})", "{\"words\": [\"\xff\"]}", R"({"words": ["a"]} {})",
                           R"({"words": ["a"], "words": ["b"]})", R"({"words": {"words": ["a"]}})",
                           R"({"words": ["a", ["b"]]})", R"({"words": [null]})", R"({"words": ["a")", R"(["words"])"}) {
    CAPTURE(body);
    const auto parsed = parse_body("application/json", body);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().status == 400);
    CHECK_THAT(parsed.error().message, Catch::Contains("{\"words\": [\"WORD\", ...]}"));
  }
  CHECK(parse_body("application/octet-stream", std::string(Limits::max_operation_bytes + 1, 'x')).error().status ==
        413);
}

TEST_CASE("A wrong body is told what is wrong with it") {
  const auto told = [](const std::string& body) { return parse_body("application/json", body).error().message; };
  CHECK_THAT(told("{"), Catch::StartsWith("the body is not valid JSON;"));
  CHECK_THAT(told("{}"), Catch::StartsWith("\"words\" is missing;"));
  CHECK_THAT(told("7"), Catch::StartsWith("\"words\" is missing;"));
  CHECK_THAT(told(R"({"more": 1, "words": ["a"]})"), Catch::StartsWith("there is more than \"words\";"));
  CHECK_THAT(told(R"({"words": {}})"), Catch::StartsWith("\"words\" is no list of words;"));
  CHECK_THAT(told(R"({"words": ["a", 1]})"), Catch::StartsWith("a word is no string;"));
}

TEST_CASE("A body has a bounded number of words") {
  const auto of = [](std::size_t count) {
    std::string body = R"({"words": ["a")";
    for (std::size_t i = 1; i < count; ++i) body += R"(, "a")";
    return parse_body("application/json", body + "]}");
  };
  CHECK(of(4096));
  REQUIRE_FALSE(of(4097));
  CHECK_THAT(of(4097).error().message, Catch::StartsWith("there are more than 4096 words;"));
}

TEST_CASE("What a body makes of itself takes little more memory than the body") {
  // AddressSanitizer keeps what was freed for a while; a tree of such a body takes more than that by far.
  constexpr auto bound_kib = with_address_sanitizer ? 256 << 10 : 32 << 10;
  const auto peak_kib = [] {
    rusage usage{};
    REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
  };
  const auto filled = [](std::string body, const std::string& part) {
    while (body.size() < 4U << 20) body += part;
    return body;
  };
  for (const std::string& body :
       {filled(R"({"words": )", "["), filled(R"({"words": [)", "["), filled("", "["), filled("", R"({"a":)"),
        filled(R"({"words": [)", "{},"), filled(R"({"words": [)", R"("",)"), filled(R"({"words": [1)", "1")}) {
    const auto before = peak_kib();
    CHECK(parse_body("application/json", body).error().status == 400);
    CHECK(peak_kib() - before < bound_kib);
  }
}
