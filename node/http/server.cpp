#include "node/http/server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <shared_mutex>
#include <thread>

#include "node/crypto/keys.h"
#include "node/http/gateway.h"
#include "node/http/workers.h"

namespace pbft::http {

namespace {

// Workers that may wait for the cluster at once; the others are left for what is answered at once. The requests that
// find no room close their connection, since an idle one takes a worker too.
constexpr int waiting_operations = 12;
static_assert(waiting_operations < static_cast<int>(worker_threads));
// An operation in JSON may be longer than itself: most bytes take one, some take six.
constexpr std::size_t max_body_bytes = 4U << 20;
constexpr const char* stops = "this node stops";

Source source_of(const httplib::Request& request) {
  return {request.get_header_value("Host"), request.get_header_value("Origin"),
          request.get_header_value("Sec-Fetch-Site")};
}

BodyHeaders body_headers_of(const httplib::Request& request) {
  BodyHeaders headers{request.method,
                      request.get_header_value("Content-Type"),
                      request.has_header("Transfer-Encoding"),
                      request.has_header("Content-Encoding"),
                      {}};
  const auto [begin, end] = request.headers.equal_range("Content-Length");
  for (auto header = begin; header != end; ++header) headers.content_lengths.push_back(header->second);
  return headers;
}

int http_status(client::OutcomeKind kind) {
  switch (kind) {
    case client::OutcomeKind::ok:
      return 200;
    case client::OutcomeKind::failed:
      return 422;
    case client::OutcomeKind::refused:
      return 502;
    case client::OutcomeKind::timed_out:
    case client::OutcomeKind::unknown:
      return 504;
    case client::OutcomeKind::busy:
      return 503;
  }
  return 500;
}

const char* kind_name(client::OutcomeKind kind) {
  switch (kind) {
    case client::OutcomeKind::ok:
      return "ok";
    case client::OutcomeKind::failed:
      return "failed";
    case client::OutcomeKind::refused:
      return "refused";
    case client::OutcomeKind::timed_out:
      return "timed_out";
    case client::OutcomeKind::busy:
      return "busy";
    case client::OutcomeKind::unknown:
      break;
  }
  return "unknown";
}

void answer_text(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", "text/plain; charset=utf-8");
}

void answer_json(httplib::Response& response, int status, const nlohmann::json& json) {
  response.status = status;
  // Results need not be UTF-8.
  response.set_content(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n", "application/json");
}

void answer_rejection(httplib::Response& response, const Rejection& rejection) {
  answer_json(response, rejection.status, {{"ok", false}, {"kind", "rejected"}, {"message", rejection.message}});
}

// The request is a variable of the library's, which handlers see as const.
httplib::Request& own(const httplib::Request& request) {
  return const_cast<httplib::Request&>(request);
}

// Whoever serves may ignore a Range header, and the library's way with it is not fit for use: it takes ranges beyond
// the end of a content provider's answer, and thousands of ranges, each of which may be the whole answer.
void ignore_ranges(const httplib::Request& request) {
  own(request).ranges.clear();
}

// The connection ends after the answer that is set, so that nothing that follows is read, not even as a next request.
// The library ends it when a content provider fails, and in no other way that a handler could cause. It calls none for
// HEAD, so the answer to that is one with a body, too.
void close_after(const httplib::Request& request, httplib::Response& response) {
  ignore_ranges(request);
  if (request.method == "HEAD") own(request).method = "GET";
  const std::string type = response.get_header_value("Content-Type");
  const auto text = std::make_shared<const std::string>(std::exchange(response.body, {}));
  response.headers.erase("Content-Type");
  response.set_header("Connection", "close");
  response.set_content_provider(
      text->size(), type, [text](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
        const std::string_view asked = std::string_view{*text}.substr(std::min(offset, text->size()), length);
        sink.write(asked.data(), asked.size());
        return false;
      });
}

// A place among a limited number, if there was one; given back at the end of its life.
class Place {
 public:
  Place(std::atomic<int>& taken, int limit) : taken_(taken), had_(taken.fetch_add(1) < limit) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { --taken_; }
  [[nodiscard]] bool had() const { return had_; }

 private:
  std::atomic<int>& taken_;
  bool had_;
};

}  // namespace

struct Server::Impl {
  enum class Door { exec, query };
  struct Operation {
    Bytes bytes;
    bool read_only = false;
  };
  struct Answer {
    int status = 200;
    client::OutcomeKind kind = client::OutcomeKind::ok;
    std::string text;  // result or message
    Bytes raw;
    bool last = false;  // the connection ends with it
  };

  explicit Impl(ServerParts given) : parts(std::move(given)) {
    listener.loopback = runtime::is_loopback(parts.config.bind);
    configure();
    route();
  }

  void configure() {
    server.new_task_queue = [] { return new BoundedWorkers; };
    server.set_payload_max_length(max_body_bytes);
    server.set_read_timeout(std::chrono::seconds{5});
    server.set_write_timeout(std::chrono::seconds{5});
    server.set_keep_alive_timeout(2);
    server.set_keep_alive_max_count(1000);
    server.set_default_headers({{"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}});
    server.set_tcp_nodelay(true);
    // The library's default would share the port with whoever else serves on it.
    server.set_socket_options([](socket_t socket) {
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    server.set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
      answer_text(response, 500, "internal error");
    });
    // Before any byte of a body is read.
    server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      ignore_ranges(request);
      const auto checked = check_head(request);
      if (checked) return httplib::Server::HandlerResponse::Unhandled;
      refuse(request, response, checked.error());
      return httplib::Server::HandlerResponse::Handled;
    });
    server.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      ignore_ranges(request);  // of a header that is wrong in its last range only
      if (!response.body.empty() || response.content_provider_) return;
      answer_text(response, response.status,
                  response.status == 404
                      ? "not found; there are GET /healthz, GET /status, POST /exec, POST /query and, "
                        "where demo_get = true, GET /req?name=value"
                  : response.status == 413 ? "the body is too large"
                                           : "the request cannot be served");
    });
  }

  void refuse(const httplib::Request& request, httplib::Response& response, const Rejection& rejection) const {
    if (request.path == "/req" || request.path == "/healthz") {
      answer_text(response, rejection.status, rejection.message);
    } else {
      answer_rejection(response, rejection);
    }
    // The library ends every connection when it stops, and calls no content provider any more.
    if (!stopping) close_after(request, response);
  }

  Checked<void> check_head(const httplib::Request& request) const {
    if (stopping) return tl::unexpected(Rejection{503, stops});
    if (auto checked = check_body(body_headers_of(request)); !checked) return checked;
    // Health is no secret, and asked for by monitors that know the node by other names.
    if (request.path == "/healthz") return {};
    return check_source(source_of(request), listener);
  }

  void route() {
    server.Get("/healthz", [this](const httplib::Request&, httplib::Response& response) { health(response); });
    server.Get("/status", [this](const httplib::Request&, httplib::Response& response) { status(response); });
    server.Post("/exec", [this](const httplib::Request& request, httplib::Response& response) {
      post(Door::exec, request, response);
    });
    server.Post("/query", [this](const httplib::Request& request, httplib::Response& response) {
      post(Door::query, request, response);
    });
    if (!parts.config.demo_get || !listener.loopback) return;
    server.Get("/req",
               [this](const httplib::Request& request, httplib::Response& response) { demo_get(request, response); });
  }

  void status(httplib::Response& response) {
    const std::shared_lock asks{node_mutex};
    if (stopping) return answer_rejection(response, {503, stops});
    response.set_content(parts.status() + "\n", "application/json");
  }

  void health(httplib::Response& response) {
    // `pbftctl up` tells by it the process that it started from another one on the same port.
    response.set_header("X-Pbft-Pid", std::to_string(::getpid()));
    const std::shared_lock asks{node_mutex};
    const auto reason = stopping ? stops : parts.unhealthy();
    answer_text(response, reason ? 503 : 200, reason.value_or("ok"));
  }

  void demo_get(const httplib::Request& request, httplib::Response& response) {
    // The library asks the handlers of GET for HEAD too, and whoever sends a HEAD expects that it changes nothing.
    if (request.method == "HEAD") {
      response.set_header("Allow", "GET");
      return answer_text(response, 405, "this path orders an operation; only GET does so");
    }
    const auto words = words_of_parameters(request.params);
    if (!words) return answer_text(response, words.error().status, words.error().message);
    const auto operation = operation_of(*words, Door::exec);
    if (!operation) return answer_text(response, operation.error().status, operation.error().message);
    const Answer answer = perform(*operation);
    answer_text(response, answer.status, answer.text);
    if (answer.last) close_after(request, response);
  }

  void post(Door door, const httplib::Request& request, httplib::Response& response) {
    const auto asked = parse_body(request.get_header_value("Content-Type"), request.body);
    if (!asked) return answer_rejection(response, asked.error());
    const auto operation = operation_of(*asked, door);
    if (!operation) return answer_rejection(response, operation.error());
    const Answer answer = perform(*operation);
    nlohmann::json json{{"ok", answer.kind == client::OutcomeKind::ok}};
    if (answer.kind == client::OutcomeKind::ok) {
      json["result"] = answer.text;
      if (std::holds_alternative<Bytes>(*asked)) json["result_hex"] = crypto::to_hex(BytesView{answer.raw});
    } else {
      json["kind"] = kind_name(answer.kind);
      json["message"] = answer.text;
    }
    if (answer.kind == client::OutcomeKind::busy) response.set_header("Retry-After", "1");
    answer_json(response, answer.status, json);
    if (answer.last) close_after(request, response);
  }

  Checked<Operation> operation_of(const Asked& asked, Door door) {
    if (const Bytes* bytes = std::get_if<Bytes>(&asked)) return Operation{*bytes, door == Door::query};
    if (!parts.plugin || parts.plugin->commands().empty()) {
      return tl::unexpected(Rejection{400,
                                      "the state machine has no text form; send the operation itself to /exec or "
                                      "/query as application/octet-stream"});
    }
    const std::lock_guard lock{plugin_mutex};
    auto parsed = parts.plugin->parse(std::get<Words>(asked));
    if (!parsed) return tl::unexpected(Rejection{400, parsed.error()});
    if (door == Door::query && !parsed->read_only) {
      return tl::unexpected(Rejection{400, "this operation changes state; send it to /exec"});
    }
    return Operation{std::move(parsed->operation), parsed->read_only};
  }

  Answer perform(const Operation& operation) {
    if (!parts.client) {
      return {503, client::OutcomeKind::refused, "this node has no gateway: gateway_key is not configured", {}, false};
    }
    if (stopping) return {503, client::OutcomeKind::refused, stops, {}, false};
    const Place place{waiting, waiting_operations};
    if (!place.had()) {
      return {503, client::OutcomeKind::refused, "too many operations wait here; try again", {}, true};
    }
    auto future = operation.read_only ? parts.client->query(operation.bytes, parts.operation_timeout)
                                      : parts.client->submit(operation.bytes, parts.operation_timeout);
    // The client ends every operation at its deadline. In slices, because a node that stops must not wait for that.
    while (future.wait_for(std::chrono::milliseconds{100}) != std::future_status::ready) {
      if (stopping) return {503, client::OutcomeKind::timed_out, stops, {}, false};
    }
    client::Outcome outcome = future.get();
    Answer answer{http_status(outcome.kind), outcome.kind, {}, {}, false};
    switch (outcome.kind) {
      case client::OutcomeKind::ok:
        answer.text = format(operation, outcome.result);
        break;
      case client::OutcomeKind::failed:
        answer.text = std::string{as_text(outcome.result)};
        break;
      case client::OutcomeKind::refused:
        answer.text = "the cluster refuses this: " + outcome.message;
        break;
      case client::OutcomeKind::timed_out:
        answer.text = timeout_text(operation);
        break;
      case client::OutcomeKind::busy:
      case client::OutcomeKind::unknown:
        break;
    }
    if (answer.text.empty() && outcome.kind != client::OutcomeKind::ok) answer.text = outcome.message;
    answer.raw = std::move(outcome.result);
    return answer;
  }

  std::string format(const Operation& operation, const Bytes& result) {
    if (!parts.plugin) return std::string{as_text(result)};
    const std::lock_guard lock{plugin_mutex};
    return parts.plugin->format(operation.bytes, result);
  }

  std::string timeout_text(const Operation& operation) const {
    return fmt::format("no agreement within {} s: are enough replicas up?{}", parts.operation_timeout.count() / 1000,
                       operation.read_only ? "" : " The operation may still take effect.");
  }

  ServerParts parts;
  Listener listener;
  std::mutex plugin_mutex;
  std::shared_mutex node_mutex;  // shared by those who ask the node; stop() waits for them
  std::atomic<bool> stopping{false};
  std::atomic<int> waiting{0};  // operations that wait for the cluster
  httplib::Server server;
  std::promise<void> ending;
  std::future<void> ended = ending.get_future();  // `thread` has nothing left to do
  std::thread thread;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  static_cast<void>(stop(std::chrono::milliseconds{0}));
  impl_->thread.join();
}

bool Server::stop(std::chrono::milliseconds limit) {
  {
    const std::unique_lock nobody_asks{impl_->node_mutex};
    if (!impl_->stopping.exchange(true)) impl_->server.stop();
  }
  return impl_->ended.wait_for(limit) == std::future_status::ready;
}

tl::expected<std::unique_ptr<Server>, std::string> Server::open(ServerParts parts) {
  auto impl = std::make_unique<Impl>(std::move(parts));
  const runtime::HttpConfig& config = impl->parts.config;
  int port = config.port;
  if (port == 0) {
    port = impl->server.bind_to_any_port(config.bind);
  } else if (!impl->server.bind_to_port(config.bind, port)) {
    port = -1;
  }
  if (port <= 0) {
    return tl::unexpected(
        fmt::format("HTTP cannot be served on {}:{}: the address is in use or not this machine's; "
                    "see [http] bind and port",
                    config.bind, config.port));
  }
  impl->listener.port = static_cast<std::uint16_t>(port);
  Impl* running = impl.get();
  impl->thread = std::thread{[running] {
    running->server.listen_after_bind();
    running->ending.set_value();
  }};
  // stop() before the thread has begun to serve would be lost.
  while (!impl->server.is_running()) std::this_thread::yield();
  return std::unique_ptr<Server>{new Server{std::move(impl)}};
}

std::uint16_t Server::port() const {
  return impl_->listener.port;
}

}  // namespace pbft::http
