// What the gateway reads of requests: a request that a foreign page can cause is never let in, and what is understood
// of a body is what stands in it.
// Input: a script of headers, then the body.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "node/http/gateway.h"
#include "node/pbft/messages.h"
#include "tests/fuzz/fuzz.h"

namespace pbft::fuzz {
namespace {

constexpr std::uint16_t port = 1111;

void check_rejection(const http::Rejection& rejection) {
  holds(rejection.status >= 400 && rejection.status < 500, "a rejection has a status that says so");
  holds(!rejection.message.empty(), "a rejection says why");
}

std::string header(Input& input) {
  static const char* const known[] = {"",
                                      "localhost:1111",
                                      "127.0.0.1:1111",
                                      "[::1]:1111",
                                      "http://localhost:1111",
                                      "same-origin",
                                      "none",
                                      "cross-site",
                                      "application/json",
                                      "application/octet-stream"};
  const std::size_t which = input.below(std::size(known) + 3);
  return which < std::size(known) ? known[which] : input.text();
}

void check_source(Input& input) {
  const http::Source source{header(input), header(input), header(input)};
  const auto checked = http::check_source(source, {true, port});
  if (!checked) return check_rejection(checked.error());
  std::string host = source.host;
  std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return std::tolower(c); });
  holds(host == "localhost:1111" || host == "127.0.0.1:1111" || host == "[::1]:1111", "the host is this machine");
  holds(source.origin.empty() || source.origin.size() == host.size() + 7, "the origin is that of the host");
  holds(source.sec_fetch_site != "cross-site" && source.sec_fetch_site != "same-site", "no other page asks");
}

void check_headers(Input& input) {
  static const char* const methods[] = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "get"};
  http::BodyHeaders headers;
  headers.method = methods[input.below(std::size(methods))];
  headers.transfer_encoding = input.flag();
  headers.content_encoding = input.flag();
  for (std::size_t left = input.below(3); left > 0; --left) headers.content_lengths.push_back(input.text());
  headers.content_type = input.text();
  const auto checked = http::check_body(headers);
  if (!checked) return check_rejection(checked.error());
  holds(!headers.transfer_encoding && !headers.content_encoding, "nothing is to be unpacked");
  holds(headers.content_lengths.size() < 2, "there is one length");
  for (const std::string& length : headers.content_lengths) {
    holds(!length.empty() && length.find_first_not_of("0123456789") == std::string::npos, "a length is a number");
  }
  holds(!headers.content_lengths.empty() || headers.method[0] != 'P', "a body has a length");
  const bool is_read = headers.method[0] == 'P' || headers.method == "DELETE";
  for (const std::string& length : headers.content_lengths) {
    holds(is_read || length.find_first_not_of('0') == std::string::npos, "what is not read has no length");
  }
  holds(!headers.content_type.starts_with("multipart/"), "nothing is to be taken apart");
}

void check_parameters(Input& input) {
  std::multimap<std::string, std::string> parameters;
  for (std::size_t left = input.below(3); left > 0; --left) parameters.emplace(input.text(), input.text());
  const auto words = http::words_of_parameters(parameters);
  if (!words) return check_rejection(words.error());
  holds(words->size() == 2 && parameters.size() == 1, "one name and one value make two words");
}

void check_body(Input& input) {
  const std::string type = header(input);
  const std::string body{as_text(input.rest())};
  const auto asked = http::parse_body(type, body);
  if (!asked) return check_rejection(asked.error());
  if (const Bytes* bytes = std::get_if<Bytes>(&*asked)) {
    holds(as_text(*bytes) == body && body.size() <= Limits::max_operation_bytes, "an operation is the body");
    return;
  }
  const auto& words = std::get<http::Words>(*asked);
  holds(!words.empty(), "there are words");
  std::size_t bytes = 0;
  for (const std::string& word : words) bytes += word.size();
  holds(bytes <= body.size(), "words are no longer than their text");
  // Written again, which throws for what is no UTF-8, they are the same.
  const auto again = http::parse_body("application/json", nlohmann::json{{"words", words}}.dump());
  holds(again && std::get<http::Words>(*again) == words, "words are what stands in the body");
}

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  check_source(input);
  check_headers(input);
  check_parameters(input);
  check_body(input);
}

Seeds seeds() {
  const Bytes head = {1, 0, 0, 3, 0, 0, 1, 1, '5', 1, 1, 'k', 1, 'v'};
  const auto with = [&](std::uint8_t type, std::string_view body) {
    Bytes seed = head;
    seed.push_back(type);
    seed.insert(seed.end(), body.begin(), body.end());
    return seed;
  };
  return {with(8, R"({"words": ["put", "a", "1"]})"), with(8, R"({"words": ["\u00e4\ud83d\ude00\n", ""]})"),
          with(8, R"({"words": [1], "more": {}})"), with(9, "g"), with(10, "\x03a/b")};
}

}  // namespace pbft::fuzz
