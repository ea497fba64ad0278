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

constexpr const char* words_missing = "\"words\" is missing";
constexpr const char* not_a_list = "\"words\" is no list of words";
// An empty word takes three bytes of the body and more than ten times as many here.
constexpr std::size_t max_words = 4096;
constexpr const char* too_many_words = "there are more than 4096 words";

// Takes {"words": ["WORD", ...]} as the parser reads it, and ends the parsing at the first thing that cannot belong to
// it: a tree of everything that a body may hold would take a hundred times the memory of the body.
class WordsReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  // What is wrong with a body that the parser did not get to the end of.
  [[nodiscard]] const char* refusal() const { return refusal_; }
  [[nodiscard]] bool has_list() const { return has_list_; }
  [[nodiscard]] Words take() { return std::move(words_); }

  bool start_object(std::size_t) override {
    if (place_ != Place::outside) return misplaced();
    place_ = Place::object;
    return true;
  }
  bool key(string_t& name) override {
    if (has_list_ || name != "words") return refuse("there is more than \"words\"");
    place_ = Place::value;
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ != Place::value) return misplaced();
    place_ = Place::list;
    return true;
  }
  bool string(string_t& word) override {
    if (place_ != Place::list) return misplaced();
    if (words_.size() == max_words) return refuse(too_many_words);
    words_.push_back(std::move(word));
    return true;
  }
  bool end_array() override {
    place_ = Place::object;
    has_list_ = true;
    return true;
  }
  bool end_object() override { return true; }

  bool null() override { return misplaced(); }
  bool boolean(bool) override { return misplaced(); }
  bool number_integer(number_integer_t) override { return misplaced(); }
  bool number_unsigned(number_unsigned_t) override { return misplaced(); }
  bool number_float(number_float_t, const string_t&) override { return misplaced(); }
  bool binary(binary_t&) override { return misplaced(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return refuse("the body is not valid JSON");
  }

 private:
  enum class Place { outside, object, value, list };

  bool refuse(const char* what) {
    refusal_ = what;
    return false;
  }
  bool misplaced() {
    if (place_ == Place::list) return refuse("a word is no string");
    return refuse(place_ == Place::value ? not_a_list : words_missing);
  }

  Place place_ = Place::outside;
  bool has_list_ = false;
  Words words_;
  const char* refusal_ = "";
};

Checked<Asked> parse_words(const std::string& body) {
  const auto refused = [](const char* what) {
    return tl::unexpected(Rejection{400, fmt::format("{}; the body must be {{\"words\": [\"WORD\", ...]}}", what)});
  };
  WordsReader reader;
  if (!nlohmann::json::sax_parse(body, &reader)) return refused(reader.refusal());
  if (!reader.has_list()) return refused(words_missing);
  Words words = reader.take();
  if (words.empty()) return refused(not_a_list);
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
