#include "node/http/gateway.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "node/pbft/messages.h"

namespace pbft::http {

namespace {

std::string lower_case(std::string_view text) {
  std::string lowered{text};
  std::transform(lowered.begin(), lowered.end(), lowered.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return lowered;
}

Checked<void> refuse(int status, std::string message) {
  return tl::unexpected(Rejection{status, std::move(message)});
}

// The media type without its parameters.
std::string media_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return lower_case(type);
}

constexpr const char* types_taken =
    "the Content-Type must be application/json (with {\"words\": [...]}) or application/octet-stream (with the "
    "operation)";

Checked<Asked> parse_words(const std::string& body) {
  const auto refused = [](const char* what) {
    return tl::unexpected(Rejection{400, fmt::format("{}; the body must be {{\"words\": [\"WORD\", ...]}}", what)});
  };
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_discarded()) return refused("the body is not valid JSON");
  if (!json.is_object() || !json.contains("words")) return refused("\"words\" is missing");
  if (json.size() != 1) return refused("there is more than \"words\"");
  const auto& list = json["words"];
  if (!list.is_array() || list.empty()) return refused("\"words\" is no list of words");
  Words words;
  for (const auto& word : list) {
    if (!word.is_string()) return refused("a word is no string");
    words.push_back(word.get<std::string>());
  }
  return Asked{std::move(words)};
}

// By the library.
bool body_is_read(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH" || method == "DELETE" || method == "PRI";
}

}  // namespace

bool host_is_local(std::string_view host, std::uint16_t port) {
  const std::string lowered = lower_case(host);
  for (const char* name : {"localhost", "127.0.0.1", "[::1]"}) {
    if (lowered == fmt::format("{}:{}", name, port) || (port == 80 && lowered == name)) return true;
  }
  return false;
}

Checked<void> check_source(const Source& source, const Listener& listener) {
  if (listener.loopback && !host_is_local(source.host, listener.port)) {
    return refuse(403, fmt::format("the Host header must be localhost:{0}, 127.0.0.1:{0} or [::1]:{0}", listener.port));
  }
  if (!source.origin.empty() && lower_case(source.origin) != "http://" + lower_case(source.host)) {
    return refuse(403, "requests that other web pages cause are refused");
  }
  if (!source.sec_fetch_site.empty() && source.sec_fetch_site != "same-origin" && source.sec_fetch_site != "none") {
    return refuse(403, "requests that other web pages cause are refused");
  }
  return {};
}

Checked<void> check_body(const BodyHeaders& headers) {
  if (headers.transfer_encoding || headers.content_encoding) {
    return refuse(411,
                  "send the body as it is, with a Content-Length: Transfer-Encoding and Content-Encoding are refused");
  }
  if (media_type(headers.content_type).starts_with("multipart/")) return refuse(415, types_taken);
  if (headers.content_lengths.empty()) {
    if (headers.method == "GET" || headers.method == "HEAD" || headers.method == "OPTIONS") return {};
    return refuse(411, "a Content-Length is needed");
  }
  const std::string& length = headers.content_lengths.front();
  const bool digits =
      !length.empty() && std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (headers.content_lengths.size() > 1 || !digits) return refuse(400, "the Content-Length is not one number");
  if (!body_is_read(headers.method) && length.find_first_not_of('0') != std::string::npos) {
    return refuse(400, fmt::format("a {} has no body here; leave the Content-Length out", headers.method));
  }
  return {};
}

Checked<Words> words_of_parameters(const std::multimap<std::string, std::string>& parameters) {
  if (parameters.size() != 1 || parameters.begin()->first.empty()) {
    return tl::unexpected(Rejection{400, "exactly one name=value is needed: /req?warTime=1234"});
  }
  return Words{parameters.begin()->first, parameters.begin()->second};
}

Checked<Asked> parse_body(std::string_view content_type, const std::string& body) {
  const std::string type = media_type(content_type);
  if (type == "application/json") return parse_words(body);
  if (type == "application/octet-stream") {
    if (body.size() <= Limits::max_operation_bytes) return Asked{to_bytes(body)};
    return tl::unexpected(
        Rejection{413, fmt::format("an operation has at most {} bytes", Limits::max_operation_bytes)});
  }
  return tl::unexpected(Rejection{415, types_taken});
}

}  // namespace pbft::http
