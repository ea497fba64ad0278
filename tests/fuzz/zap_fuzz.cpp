// The ZAP handler over the socket that libzmq asks it on: whatever the question is, there is an answer to it, and it is
// a yes exactly where the question is well-formed and the key is admitted to the domain.
// Input: the parts of a question.
#include <zmq.hpp>

#include "node/bus/zap.h"
#include "tests/fuzz/fuzz.h"

namespace pbft::fuzz {
namespace {

constexpr std::size_t most_parts = 10;
constexpr std::uint8_t admitted = 0xaa;

using Parts = std::vector<std::string>;

bool admits(const bus::CurveKey& key) {
  return key[0] == admitted;
}

// Lives until the end of the process: its thread waits in the context.
struct World {
  zmq::context_t context;
  bus::Counters counters;
  bus::MonitorSet monitors{context};
  std::unique_ptr<bus::ZapHandler> handler;
  zmq::socket_t asker{context, zmq::socket_type::dealer};

  World() {
    handler = bus::ZapHandler::bind(context, {{"peers", admits}}, counters, monitors).value();
    handler->start();
    asker.connect("inproc://zeromq.zap.01");
  }
};

World& world() {
  static World* const made = new World;
  return *made;
}

// A right question, part by part changed where the input says so.
Parts question(Input& input) {
  Parts parts{"1.0", "7", "peers", "127.0.0.1", "", "CURVE", std::string(32, static_cast<char>(admitted))};
  while (!input.empty()) {
    const std::size_t at = input.below(parts.size() + 1);
    const std::size_t change = input.below(4);
    if (at == parts.size() || change == 0) {
      if (parts.size() < most_parts) parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(at), input.text());
    } else if (change == 1) {
      if (parts.size() > 1) parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at));
    } else if (change == 2) {
      parts[at] = input.text();
    } else if (!parts[at].empty()) {
      parts[at][input.below(parts[at].size())] = static_cast<char>(input.byte());
    }
  }
  return parts;
}

Parts ask(const Parts& parts) {
  zmq::socket_t& asker = world().asker;
  asker.send(zmq::message_t{}, zmq::send_flags::sndmore);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool more = i + 1 < parts.size();
    asker.send(zmq::message_t{parts[i]}, more ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
  Parts answer;
  zmq::message_t part;
  do {
    holds(asker.recv(part).has_value(), "a question is answered");
    answer.push_back(part.to_string());
  } while (part.more());
  return answer;
}

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  const Parts asked = question(input);
  const Parts answer = ask(asked);
  holds(answer.size() == 7 && answer[0].empty(), "an answer has its parts");
  holds(answer[1] == "1.0" && answer[2] == (asked.size() > 1 ? asked[1] : ""), "an answer is to its question");
  const bool right = asked.size() == 7 && asked[0] == "1.0" && asked[2] == "peers" && asked[5] == "CURVE" &&
                     asked[6].size() == 32 && static_cast<std::uint8_t>(asked[6][0]) == admitted;
  holds((answer[3] == "200") == right, "a yes is for those who are admitted");
  holds(right || answer[3] == "400" || answer[3] == "500", "a no is one of the two");
  bus::CurveKey key{};
  if (right) std::copy(asked[6].begin(), asked[6].end(), key.begin());
  holds(answer[5] == (right ? bus::to_user_id(key) : ""), "a yes names the key, a no nobody");
}

Seeds seeds() {
  return {{}, {6, 3, 0, 1}, {5, 2, 5, 'P', 'L', 'A', 'I', 'N'}, {2, 1}, {7, 0, 1, 'x'}, {6, 2, 31, 0xaa}};
}

}  // namespace pbft::fuzz
