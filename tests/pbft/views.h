// What the tests of view changes share: what was sent, what was said of it, and messages made by hand.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "tests/pbft/harness.h"

namespace pbft::testing {

template <class Message>
bool is(const CoreCluster::InFlight& flight) {
  return std::holds_alternative<Message>(flight.message);
}

// Everything of one type that `from` has under way; a broadcast counts once.
template <class Message>
std::vector<Message> under_way(const CoreCluster& cluster, std::uint32_t from) {
  std::vector<Message> result;
  std::optional<ReplicaId> receiver;
  for (const auto& flight : cluster.network) {
    const auto* message = std::get_if<Message>(&flight.message);
    if (message == nullptr || flight.from != ReplicaId{from}) continue;
    if (!receiver) receiver = flight.to;
    if (flight.to == *receiver) result.push_back(*message);
  }
  return result;
}

template <class One>
std::vector<One> events_of(const CoreNode& node) {
  std::vector<One> result;
  for (const Event& event : node.events) {
    if (const auto* one = std::get_if<One>(&event)) result.push_back(*one);
  }
  return result;
}

template <class Record>
std::vector<Record> records_of(const CoreNode& node) {
  std::vector<Record> result;
  for (const JournalRecord& record : node.journal) {
    if (const auto* one = std::get_if<Record>(&record)) result.push_back(*one);
  }
  return result;
}

// A request of client 1 is proposed in slot 2 of view 0, without the messages that `drop` takes; then the primary is
// gone, and all others know that the request waits: a view change is due.
struct PrimaryGone {
  explicit PrimaryGone(const CoreCluster::Filter& drop) : session(cluster.open(client_id(1))) {
    cluster.request(0, bundle);
    cluster.run(drop);
    digest = records_of<PersistAccepted>(cluster.node(0)).back().digest;
    cluster.crash(0);
    for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, bundle);
    cluster.network.clear();
  }
  CoreCluster cluster{4};
  SessionId session;
  BundlePtr bundle = make_bundle(client_id(1), session, 1, {1});
  Digest digest;
};

// Requests `from` to `to` of the session, one a batch where the primary is `at`.
inline void fill(CoreCluster& cluster, ClientId client, SessionId session, std::uint64_t from, std::uint64_t to,
                 std::uint32_t at = 0, const CoreCluster::Filter& drop = {}) {
  for (std::uint64_t i = from; i <= to; ++i) {
    cluster.request(at, make_bundle(client, session, i, {i}));
    cluster.run(drop);
  }
}

// How often any replica wanted a view to be left, or left it.
inline std::size_t suspicions(CoreCluster& cluster) {
  std::size_t result = 0;
  for (std::uint32_t i = 0; i < cluster.size(); ++i) {
    result += events_of<PrimarySuspected>(cluster.node(i)).size() + events_of<ViewLeft>(cluster.node(i)).size();
  }
  return result;
}

inline void ask_all(CoreCluster& cluster, SessionId session, std::uint64_t number) {
  for (std::uint32_t i = 0; i < cluster.size(); ++i) cluster.request(i, make_bundle(alice, session, 1, {number}));
}

// How often the request took effect at this replica.
inline std::size_t runs_of(const CoreNode& node, SessionId session, std::uint64_t number) {
  return static_cast<std::size_t>(std::count_if(node.replies.begin(), node.replies.end(), [&](const auto& reply) {
    return reply.session == session && reply.number.value == number && reply.status == ReplyStatus::ok;
  }));
}

// All of them are active in `view`.
inline bool all_in(CoreCluster& cluster, std::initializer_list<std::uint32_t> replicas, std::uint64_t view) {
  return std::all_of(replicas.begin(), replicas.end(), [&](std::uint32_t id) {
    const ReplicaStatus status = cluster.node(id).status();
    return status.active && status.view == View{view};
  });
}

// The same request with a signature for its proof.
inline BundlePtr signed_copy(const BundlePtr& bundle) {
  Bundle copy = *bundle;
  copy.proof = SharedBytes::own(Bytes{Bundle::signature_proof});
  return std::make_shared<const Bundle>(std::move(copy));
}

// The same bundle with a body of this size; its digest stays what it was.
inline BundlePtr with_body(const BundlePtr& bundle, const SharedBytes& body) {
  Bundle copy = *bundle;
  copy.body = body;
  return std::make_shared<const Bundle>(std::move(copy));
}

inline SharedBytes signature(std::uint32_t replica) {
  return SharedBytes::own(to_bytes("signed by " + std::to_string(replica)));
}

inline StableCheckpoint proof_of(std::uint64_t n, const Digest& root, const std::vector<std::uint32_t>& voters) {
  StableCheckpoint proof{SequenceNumber{n}, root, {}};
  for (const std::uint32_t voter : voters) proof.votes.push_back({ReplicaId{voter}, signature(voter)});
  return proof;
}

inline ViewChange view_change(std::uint64_t view, std::uint32_t sender, std::vector<SlotMark> prepared = {},
                              std::vector<SlotMark> voted = {}) {
  return {View{view}, std::nullopt, std::move(prepared), std::move(voted), signature(sender)};
}

inline NewView new_view(std::uint64_t view, std::uint32_t primary, std::vector<NewView::Signed> view_changes) {
  return {View{view}, ReplicaId{primary}, std::move(view_changes), signature(primary)};
}

// COMMITs of view 0: with them backups teach each other what prepared there, so that it needs no other view.
inline bool commits_view_0(const CoreCluster::InFlight& m) {
  const auto* commit = std::get_if<Commit>(&m.message);
  return commit != nullptr && commit->view == View{};
}

// The view's NEW-VIEW from a quorum (n = 4) that has nothing to take over.
inline NewView empty_new_view(std::uint64_t view, std::initializer_list<std::uint32_t> senders = {0, 1, 2}) {
  std::vector<NewView::Signed> all;
  for (const std::uint32_t sender : senders) all.push_back({ReplicaId{sender}, view_change(view, sender)});
  return new_view(view, static_cast<std::uint32_t>(view % 4), std::move(all));
}

}  // namespace pbft::testing
