#include "node/bus/zap.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace pbft::bus {
namespace {

constexpr const char* zap_endpoint = "inproc://zeromq.zap.01";
constexpr std::string_view zap_version = "1.0";
// version, request id, domain, address, identity, mechanism; then the credentials.
enum Part : std::size_t { version, request_id, domain, address, identity, mechanism, credentials, part_count };

bool receive_all(zmq::socket_t& socket, std::vector<zmq::message_t>& parts) {
  parts.clear();
  Received got = Received::more;
  while (got == Received::more) {
    zmq::message_t part;
    got = receive(socket, part);
    if (got == Received::nothing) return false;
    parts.push_back(std::move(part));
  }
  return true;
}

void send_parts(zmq::socket_t& socket, const std::array<std::string_view, 6>& parts) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    zmq::message_t message(parts[i].data(), parts[i].size());
    // A connection that is gone by now needs no answer.
    send(socket, message, i + 1 < parts.size() ? ZMQ_SNDMORE : 0);
  }
}

}  // namespace

tl::expected<std::unique_ptr<ZapHandler>, std::string> ZapHandler::bind(zmq::context_t& context, Admission admission,
                                                                        Counters& counters, MonitorSet& monitors) {
  auto wake_up = WakeUp::create();
  if (!wake_up) return tl::unexpected(wake_up.error());
  zmq::socket_t socket(context, zmq::socket_type::rep);
  socket.set(zmq::sockopt::linger, 0);
  if (auto bound = bus::bind(socket, zap_endpoint); !bound) return tl::unexpected(bound.error());
  return std::unique_ptr<ZapHandler>(
      new ZapHandler(std::move(socket), std::move(*wake_up), std::move(admission), counters, monitors));
}

ZapHandler::ZapHandler(zmq::socket_t socket, WakeUp wake_up, Admission admission, Counters& counters,
                       MonitorSet& monitors)
    : socket_(std::move(socket)),
      wake_up_(std::move(wake_up)),
      admission_(std::move(admission)),
      counters_(counters),
      monitors_(monitors) {}

ZapHandler::~ZapHandler() {
  end_ = true;
  wake_up_.set();
  if (thread_.joinable()) thread_.join();
}

void ZapHandler::start() {
  thread_ = std::thread([this] { run(); });
}

void ZapHandler::stop_answering() {
  stop_answering_ = true;
  wake_up_.set();
  unbound_.get_future().wait();
}

void ZapHandler::run() {
  std::vector<zmq_pollitem_t> items{{nullptr, wake_up_.descriptor(), ZMQ_POLLIN, 0}};
  monitors_.append_poll_items(items);
  items.push_back({socket_.handle(), 0, ZMQ_POLLIN, 0});
  while (!end_) {
    if (zmq_poll(items.data(), static_cast<int>(items.size()), -1) < 0) {
      if (zmq_errno() == EINTR) continue;
      return;  // the context is being ended
    }
    wake_up_.clear();
    monitors_.drain();
    if (stop_answering_ && socket_.handle() != nullptr) {
      items.pop_back();
      unbind();
    }
    if (socket_.handle() != nullptr) answer_waiting();
  }
}

void ZapHandler::unbind() {
  // Closing alone would leave the endpoint in place for a moment.
  zmq_unbind(socket_.handle(), zap_endpoint);
  socket_.close();
  unbound_.set_value();
}

void ZapHandler::answer_waiting() {
  std::vector<zmq::message_t> request;
  while (receive_all(socket_, request)) {
    const Verdict verdict = judge(request);
    const auto id = request.size() > request_id ? request[request_id].to_string_view() : std::string_view{};
    send_parts(socket_, {zap_version, id, verdict.code, verdict.text, verdict.user_id, std::string_view{}});
  }
}

ZapHandler::Verdict ZapHandler::judge(std::vector<zmq::message_t>& request) {
  const auto refuse = [this](Counter counter, const char* code, const char* text) {
    counters_.add(counter);
    return Verdict{code, text, {}};
  };
  if (request.size() < credentials || request[version].to_string_view() != zap_version) {
    return refuse(Counter::zap_malformed, "500", "malformed request");
  }
  if (request[mechanism].to_string_view() != "CURVE") {
    return refuse(Counter::zap_refused_mechanism, "400", "CURVE only");
  }
  CurveKey key{};
  if (request.size() != part_count || request[credentials].size() != key.size()) {
    return refuse(Counter::zap_malformed, "500", "malformed request");
  }
  std::copy_n(request[credentials].data<std::uint8_t>(), key.size(), key.begin());
  const auto admits = admission_.find(request[domain].to_string_view());
  if (admits == admission_.end()) return refuse(Counter::zap_refused_domain, "400", "unknown domain");
  if (!admits->second(key)) return refuse(Counter::zap_refused_unknown_key, "400", "unknown key");
  counters_.add(Counter::zap_accepted);
  return {"200", "OK", to_user_id(key)};
}

}  // namespace pbft::bus
