// The client's core against three honest replicas and a liar, which answers what it likes under its own key, on a
// network that loses and reorders: no result is believed that is not true, and in the end all is answered.
// Input: a script.
#include "tests/client/scripted_cluster.h"
#include "tests/fuzz/msgpack_tree.h"

namespace pbft::fuzz {
namespace {

using namespace client;
using client::testing::make_reply;
using client::testing::ScriptedCluster;

constexpr std::uint32_t replicas = 4;
constexpr std::uint32_t liar = 2;
constexpr std::uint64_t session = 77;
constexpr std::size_t most_steps = 64;
constexpr std::size_t most_operations = 8;
constexpr std::size_t most_answers = 256;
constexpr int most_rounds = 64;

Bytes result_of(BytesView operation) {
  Bytes result = to_bytes("result of ");
  result.insert(result.end(), operation.begin(), operation.end());
  return result;
}

class Game {
 public:
  void step(Input& input) {
    switch (input.below(6)) {
      case 0:
        ask(input);
        break;
      case 1:
        take(cluster_.advance_by(1'000 * (1 + input.below(1'000))));
        break;
      case 2:
        if (!answers_.empty()) answers_.erase(answers_.begin() + chosen(input));
        break;
      case 3:
        lie(input);
        break;
      default:
        deliver(input);
    }
    check();
  }

  // The network works from now on.
  void end() {
    for (int round = 0; cluster_.core.outstanding() > 0; ++round) {
      holds(round < most_rounds, "in the end all is answered");
      take(cluster_.advance_by(300'000));
      for (Answer& one : answers_) cluster_.say(one.from, one.message);
      answers_.clear();
      check();
    }
  }

 private:
  struct Answer {
    std::uint32_t from;
    ReplicaToClientMessage message;
  };

  void ask(Input& input) {
    if (asked_.size() >= most_operations) return;
    const Bytes operation{static_cast<std::uint8_t>(asked_.size()), input.byte()};
    const Ticket ticket = input.flag() ? cluster_.core.submit(operation, 0) : cluster_.core.query(operation, 0);
    asked_.emplace(ticket, operation);
  }

  // What honest replicas answer; it gets under way.
  void take(const std::vector<client::testing::Received>& received) {
    for (const auto& [at, message] : received) {
      if (at.value == liar || answers_.size() >= most_answers) continue;
      if (std::holds_alternative<Hello>(message)) answers_.push_back({at.value, Welcome{View{1}, SequenceNumber{9}}});
      if (const auto* read = std::get_if<ReadRequest>(&message)) {
        answers_.push_back({at.value, ReadReply{read->number, ReplyStatus::ok, SequenceNumber{9},
                                                SharedBytes::own(result_of(read->operation.view()))}});
      }
      if (const auto* request = std::get_if<ClientRequest>(&message)) take(at.value, *request->bundle);
    }
  }
  void take(std::uint32_t at, const Bundle& bundle) {
    for (const Request& request : bundle.requests) {
      const bool opens = request.kind == RequestKind::open_session;
      const Bytes result = opens ? client::testing::number_bytes(session) : result_of(request.operation.view());
      answers_.push_back({at, make_reply(bundle.session, request.number, ReplyStatus::ok, result, at != 3, View{1})});
    }
  }

  [[nodiscard]] std::ptrdiff_t chosen(Input& input) const {
    return static_cast<std::ptrdiff_t>(input.below(answers_.size()));
  }

  // Out of order, and perhaps again later.
  void deliver(Input& input) {
    if (answers_.empty()) return;
    const auto at = answers_.begin() + chosen(input);
    const Answer one = *at;
    heard_.push_back(one.message);
    if (input.below(4) != 0) answers_.erase(at);
    cluster_.say(one.from, one.message);
  }

  void lie(Input& input) {
    const ReplicaToClientMessage truth = !heard_.empty() && input.flag() ? heard_[input.below(heard_.size())]
                                         : answers_.empty() ? ReplicaToClientMessage{InfoReply{RequestNumber{1}, "{}"}}
                                                            : answers_[static_cast<std::size_t>(chosen(input))].message;
    const Bytes bytes = changed_often(wire::encode(truth), input, 3);
    const auto told = wire::decode_replica_message(SharedBytes::copy_of(bytes));
    if (told) cluster_.say(liar, *told);
  }

  void check() const {
    for (const auto& [ticket, outcome] : cluster_.outcomes) {
      holds(outcome.kind == OutcomeKind::ok, "what one replica says is no failure and no refusal");
      holds(outcome.result == result_of(asked_.at(ticket)), "a result that is believed is true");
    }
  }

  ScriptedCluster cluster_{replicas};
  std::map<Ticket, Bytes> asked_;
  std::vector<Answer> answers_;  // under way
  std::vector<ReplicaToClientMessage> heard_;
};

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  Game game;
  for (std::size_t i = 0; i < most_steps && !input.empty(); ++i) game.step(input);
  game.end();
}

Seeds seeds() {
  Bytes orderly;
  for (std::uint8_t i = 0; i < 4; ++i) orderly.insert(orderly.end(), {0, i, i, 1, 0, 0, 4, 0, 1, 4, 0, 1, 4, 0, 1});
  Bytes lying;
  for (std::uint8_t i = 0; i < 4; ++i) {
    lying.insert(lying.end(),
                 {0, i, i, 1, 0, 0, 3, 0, 0, 1, 1, 1, i, 1, 4, 4, 0, 1, 3, 1, 0, 2, 1, 5, 4, 1, 1, 1, 0, 0});
  }
  return {orderly, lying};
}

}  // namespace pbft::fuzz
