// What the HTTP gateway lets in, and what it understands: pure functions over headers and bodies.
//
// A browser sends requests to this machine for any web page that asks it to, so what changes state must be something
// that a page cannot make a browser send: a Content-Type that no plain form has (the browser would ask first, and is
// never allowed: there are no CORS headers), and, on loopback, a Host header that names this machine (a page whose
// name was re-bound to 127.0.0.1 still says its own).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "node/pbft/types.h"

namespace pbft::http {

struct Rejection {
  int status = 400;  // HTTP
  std::string message;
};
template <class T>
using Checked = tl::expected<T, Rejection>;

// Headers that tell where a request comes from; empty: absent.
struct Source {
  std::string host;            // Host
  std::string origin;          // Origin: set by browsers
  std::string sec_fetch_site;  // Sec-Fetch-Site: set by newer browsers
};
struct Listener {
  bool loopback = true;
  std::uint16_t port = 0;
};

// Whether a Host header names this machine by loopback, with this port: "localhost:1111", "127.0.0.1:1111",
// "[::1]:1111"; without a port where it is 80.
[[nodiscard]] bool host_is_local(std::string_view host, std::uint16_t port);
// For everything that can change state or reads it through the cluster.
[[nodiscard]] Checked<void> check_source(const Source& source, const Listener& listener);

// What the headers of a request say about its body.
struct BodyHeaders {
  std::string method;
  std::string content_type;        // empty: absent
  bool transfer_encoding = false;  // there is such a header
  bool content_encoding = false;
  std::vector<std::string> content_lengths;  // of each such header
};
// Whether the body's length is known before it is read: without Transfer-Encoding and Content-Encoding, and with one
// Content-Length where the method has a body. Anything else would be read, or unpacked, without a bound. Methods whose
// body would not be read have none: it would be taken for the next request. Neither is there a multipart body, which
// would be taken apart before its type is looked at.
[[nodiscard]] Checked<void> check_body(const BodyHeaders& headers);

using Words = std::vector<std::string>;  // of the plugin's text form
// GET /req?name=value: exactly one parameter.
[[nodiscard]] Checked<Words> words_of_parameters(const std::multimap<std::string, std::string>& parameters);

// The body of POST /exec and /query: {"words": ["put", "a", "1"]} as application/json, or an operation as it is as
// application/octet-stream.
using Asked = std::variant<Words, Bytes>;
[[nodiscard]] Checked<Asked> parse_body(std::string_view content_type, const std::string& body);

}  // namespace pbft::http
