// A ClientCore against replicas that say what the test tells them to say. Frames are sealed and opened with the real
// authenticators; time moves only when the test moves it.
#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/pbft/digests.h"
#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::client::testing {

// The session that replicas give to a client that asks for one.
inline const SessionId given_session{77};

inline crypto::Identity identity_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = number;
  return crypto::Identity::from_seed(seed);
}

inline crypto::Roster roster_of(std::uint32_t n, bool signed_requests = false) {
  crypto::initialize();
  crypto::Roster roster;
  roster.cluster.bytes[0] = 7;
  roster.signed_requests = signed_requests;
  for (std::uint32_t i = 0; i < n; ++i) {
    roster.replicas.push_back(identity_of(static_cast<std::uint8_t>(i + 1)).public_key());
  }
  return roster;
}

inline Bytes number_bytes(std::uint64_t value) {
  Bytes bytes(8);
  for (std::size_t i = 8; i-- > 0; value >>= 8U) {
    bytes[i] = static_cast<std::uint8_t>(value);
  }
  return bytes;
}

inline Reply make_reply(SessionId session, RequestNumber number, ReplyStatus status, const Bytes& result,
                        bool full = true, View view = View{0}) {
  Reply reply{view, session, number, status, reply_digest(status, result), std::nullopt};
  if (full) {
    reply.result = SharedBytes::own(result);
  }
  return reply;
}

struct Received {
  ReplicaId at;
  ClientMessage message;
};

class ScriptedCluster {
 public:
  explicit ScriptedCluster(std::uint32_t replicas, CoreOptions options = default_options(),
                           bool signed_requests = false)
      : n(replicas),
        roster(roster_of(replicas, signed_requests)),
        client(identity_of(200)),
        core(roster, crypto::ClientAuthenticator{roster, client}, options) {
    for (std::uint32_t i = 0; i < n; ++i) {
      authenticators_.emplace_back(roster, ReplicaId{i}, identity_of(static_cast<std::uint8_t>(i + 1)));
    }
  }

  static CoreOptions default_options() {
    CoreOptions options;
    options.open_number = 1000;
    return options;
  }

  // Lets the core act now and gives what arrived at the replicas. Outcomes are collected.
  std::vector<Received> advance() {
    CoreEffects effects = core.advance(now);
    for (Completion& completion : effects.completions) {
      REQUIRE(outcomes.count(completion.ticket) == 0);
      outcomes.emplace(completion.ticket, std::move(completion.outcome));
    }
    for (SurveyCompletion& survey : effects.surveys) {
      surveys.emplace(survey.ticket, std::move(survey.answers));
    }
    std::vector<Received> received;
    for (OutgoingFrame& out : effects.frames) {
      const auto opened = authenticators_.at(out.to.value)
                              .open_client(SharedBytes::own(std::move(out.frame)), client.curve().public_key);
      REQUIRE(opened);
      for (const AuthenticatedClientMessage& message : *opened) {
        REQUIRE(message.sender() == client.client_id());
        received.push_back({out.to, message.message()});
      }
    }
    return received;
  }
  std::vector<Received> advance_by(std::uint64_t us) {
    now += us;
    return advance();
  }

  void say(std::uint32_t replica, const ReplicaToClientMessage& message) {
    core.receive(SharedBytes::own(authenticators_.at(replica).seal_to_client(client.client_id(), {message})),
                 ReplicaId{replica});
  }
  void say_all(const ReplicaToClientMessage& message) {
    for (std::uint32_t i = 0; i < n; ++i) {
      say(i, message);
    }
  }

  // Opens a session for an operation that is already submitted, and gives what arrived with its first bundle.
  std::vector<Received> open_session(std::uint64_t id = given_session.value) {
    const std::vector<Received> first = advance();
    const std::optional<RequestNumber> number = open_number(first);
    REQUIRE(number);
    say_all(make_reply(SessionId{0}, *number, ReplyStatus::ok, number_bytes(id)));
    std::vector<Received> received = advance();
    REQUIRE(core.session() == SessionId{id});
    return received;
  }

  static std::vector<std::pair<ReplicaId, BundlePtr>> bundles(const std::vector<Received>& received) {
    std::vector<std::pair<ReplicaId, BundlePtr>> found;
    for (const Received& one : received) {
      if (const auto* request = std::get_if<ClientRequest>(&one.message)) {
        found.emplace_back(one.at, request->bundle);
      }
    }
    return found;
  }
  template <class Message>
  static std::vector<std::pair<ReplicaId, Message>> all(const std::vector<Received>& received) {
    std::vector<std::pair<ReplicaId, Message>> found;
    for (const Received& one : received) {
      if (const auto* message = std::get_if<Message>(&one.message)) {
        found.emplace_back(one.at, *message);
      }
    }
    return found;
  }
  static std::optional<RequestNumber> open_number(const std::vector<Received>& received) {
    for (const auto& [at, bundle] : bundles(received)) {
      if (bundle->requests.front().kind == RequestKind::open_session) {
        return bundle->requests.front().number;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] bool done(Ticket ticket) const { return outcomes.count(ticket) != 0; }

  std::uint32_t n;
  crypto::Roster roster;
  crypto::Identity client;
  ClientCore core;
  std::uint64_t now = 1'000'000;
  std::map<Ticket, Outcome> outcomes;
  std::map<Ticket, std::vector<std::optional<Outcome>>> surveys;

 private:
  std::vector<crypto::Authenticator> authenticators_;
};

}  // namespace pbft::client::testing
