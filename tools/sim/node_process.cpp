#include "tools/sim/node_process.h"

#include <algorithm>
#include <string_view>

#include "tools/sim/describe.h"

namespace pbft::sim {
namespace {

constexpr std::size_t route_limit = 4;  // processes that one session's replies go to
constexpr std::string_view joined_reason = "f+1 replicas are in later views";

RanBatch ran_batch(const Execute& effect, const std::vector<execution::OutgoingReply>& replies) {
  RanBatch ran{effect.n, effect.batch->digest, effect.ledger_head, effect.time, {}, {}};
  for (const BundlePtr& bundle : effect.batch->bundles) ran.bundles.push_back(bundle->digest);
  for (std::size_t i = 0; i < effect.run.size(); ++i) {
    const RunRequest& run = effect.run[i];
    const Bundle& bundle = *effect.batch->bundles.at(run.bundle);
    const Request& request = bundle.requests.at(run.request);
    const BytesView operation = request.operation.view();
    const BytesView result = replies.at(i).result.view();
    ran.run.push_back({{bundle.client, bundle.session, request.number},
                       request.kind,
                       {operation.begin(), operation.end()},
                       run.decided.has_value(),
                       replies[i].status,
                       {result.begin(), result.end()}});
  }
  return ran;
}

std::uint64_t requests_in(const Batch& batch) {
  std::uint64_t count = 0;
  for (const BundlePtr& bundle : batch.bundles) count += bundle->requests.size();
  return count;
}

}  // namespace

// ---- Transport --------------------------------------------------------------------------------------

void Node::Process::broadcast(Bytes frame) {
  const SharedBytes shared = SharedBytes::own(std::move(frame));
  node.boundary(Boundary::before_send);
  node.sent(0, true, shared);
  node.boundary(Boundary::after_send);
}

void Node::Process::send(ReplicaId to, Bytes frame) {
  const SharedBytes shared = SharedBytes::own(std::move(frame));
  node.boundary(Boundary::before_send);
  node.sent(to.value, false, shared);
  node.boundary(Boundary::after_send);
}

void Node::Process::reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) {
  const auto route = routes.find({client, session, session.value == 0 ? number : RequestNumber{}});
  if (route == routes.end()) return;
  const SharedBytes shared = SharedBytes::own(std::move(frame));
  for (const Endpoint to : route->second) to_client(to, shared);
}

bool Node::Process::answer(const ClientId&, Origin origin, Bytes frame) {
  to_client(static_cast<Endpoint>(origin.value), SharedBytes::own(std::move(frame)));
  return true;
}

void Node::Process::to_client(Endpoint to, SharedBytes frame) {
  World& world = node.world_;
  Opened<ReplicaToClientMessage> opened = open_reply_frame(frame);
  const ClientId client = world.client_identities[world.client_processes.at(to)].client_id();
  if (node.liar_) {
    node.liar_->reply(client, opened.messages);
    frame = SharedBytes::own(authenticator->seal_to_client(client, opened.messages));
  }
  for (const ReplicaToClientMessage& message : opened.messages) {
    const auto* reply = std::get_if<Reply>(&message);
    if (reply == nullptr) continue;
    if (reply->status == ReplyStatus::sign) ++world.sometimes.told_to_sign;
    if (reply->status == ReplyStatus::unknown_session && executor->cached(client, reply->session, reply->number)) {
      ++world.sometimes.result_forgotten;
    }
    const auto at = node.executed_in_.find({client, reply->session, reply->number});
    if (at == node.executed_in_.end() || reply->view <= at->second) continue;
    ++world.sometimes.cached_in_later_view;
    node.executed_in_.erase(at);
  }
  world.trace.say([&] { return fmt::format("{} -> c{}  {}", node.endpoint_, to, describe(opened.messages)); });
  world.trace.record(Trace::Kind::send, node.endpoint_, to, fast_hash(frame.view()));
  world.network.send(node.endpoint_, to, frame, opened.types);
}

void Node::Process::learn_route(const Route& route, Endpoint to) {
  std::vector<Endpoint>& known = routes[route];
  if (std::find(known.begin(), known.end(), to) != known.end()) return;
  if (known.size() == route_limit) known.erase(known.begin());
  known.push_back(to);
}

// ---- Observer ---------------------------------------------------------------------------------------

void Node::Process::happened(const Rejected& event) {
  if (event.reason == Reject::time_ahead || event.reason == Reject::time_behind) node.clock_shows();
  say("rejects: {}{}", pbft::to_string(event.reason), event.peer ? fmt::format(" from {}", event.peer->value) : "");
}

void Node::Process::happened(const BecameStable& event) {
  ++sometimes().stable;
  say("stable at {}", event.n.value);
}

void Node::Process::happened(const CatchUpStarted& event) {
  ++sometimes().catch_up;
  say("catches up from {} to {}", event.from.value, event.to.value);
}

void Node::Process::happened(const CatchUpFinished& event) {
  say("has caught up at {}", event.at.value);
}

void Node::Process::happened(const Diverged& event) {
  say("says that it diverged at {}", event.n.value);
  if (node.liar_) return;
  node.world_.findings.report({"state-digest", event.n.value, {node.id_.value}, "the replica says that it diverged"});
}

void Node::Process::happened(const DivergenceLocated& event) {
  say("differed in {} keys at {}", event.keys, event.n.value);
  if (node.liar_ || node.world_.checkers.progress.is_damaged(node.id_)) return;
  node.world_.findings.report(
      {"state-digest", event.n.value, {node.id_.value}, "the replica says where its state differed"});
}

void Node::Process::happened(const PrimarySuspected& event) {
  ++sometimes().primary_suspected;
  say("wants view {} to be left: {}", event.view.value, event.reason);
}

void Node::Process::happened(const ViewLeft& event) {
  ++sometimes().view_left;
  if (entered < event.from) ++sometimes().view_skipped;
  if (event.reason == joined_reason) ++sometimes().view_joined;
  if (transferring) ++sometimes().transfer_between_views;
  say("leaves view {} for {}: {}", event.from.value, event.to.value, event.reason);
}

void Node::Process::happened(const ViewEntered& event) {
  ++sometimes().view_entered;
  entered = event.view;
  say("enters view {}", event.view.value);
}

void Node::Process::happened(const TransferStarted& event) {
  ++sometimes().transfer_started;
  if (!replica->status().active) ++sometimes().transfer_between_views;
  transferring = true;
  say("fetches {} buckets of the state at {}", event.buckets, event.to.value);
}

void Node::Process::happened(const TransferFinished& event) {
  ++sometimes().transfer_finished;
  transferring = false;
  say("has fetched the state at {}: {} pairs", event.at.value, event.pairs);
}

void Node::Process::happened(const BadSource& event) {
  ++sometimes().bad_source;
  say("has a bad source in {}: {}", event.source.value, event.what);
}

void Node::Process::happened(const ClientSuspected& event) {
  ++sometimes().client_suspected;
  say("suspects client {}", short_hex(event.client.view()));
}

void Node::Process::happened(const Rejoined& event) {
  ++sometimes().rejoined;
  say("is back: view {}, stable {}", event.view.value, event.stable.value);
}

void Node::Process::on_event(const Event& event) {
  World& world = node.world_;
  std::visit([this](const auto& one) { happened(one); }, event);
  world.trace.record(Trace::Kind::event, node.endpoint_, event.index(), 0);
}

void Node::Process::on_refused_frame(const crypto::Refused& refused, bool) {
  ++node.world_.sometimes.refused_frames;
  node.world_.trace.say([&] {
    return fmt::format("   {} refuses a frame: {}{}", node.endpoint_, crypto::to_string(refused.refusal),
                       refused.wire ? fmt::format(" ({})", wire::to_string(*refused.wire)) : "");
  });
}

void Node::Process::on_left_out(const execution::OutgoingReply&) {
  ++sometimes().reply_left_out;
}

void Node::Process::on_executed(const Execute& effect, const std::vector<execution::OutgoingReply>& replies) {
  World& world = node.world_;
  world.trace.say([&] {
    return fmt::format("   {} executes n{} {} ({} of {} requests)", node.endpoint_, effect.n.value,
                       short_hex(effect.batch->digest.view()), effect.run.size(), requests_in(*effect.batch));
  });
  world.trace.record(Trace::Kind::executed, node.endpoint_, effect.n.value, fast_hash(effect.batch->digest.view()));
  if (effect.run.size() < requests_in(*effect.batch)) ++world.sometimes.duplicate_ordered;
  if (effect.batch->bundles.empty()) ++world.sometimes.null_batch;
  world.sometimes.session_evicted += effect.evicted.size();
  node.ran_in_[effect.n] = effect.view;
  for (const RunRequest& run : effect.run) {
    const Bundle& bundle = *effect.batch->bundles[run.bundle];
    node.executed_in_[{bundle.client, bundle.session, bundle.requests[run.request].number}] = effect.view;
  }
  if (replies.size() != effect.run.size()) {
    world.findings.report({"same-results", effect.n.value, {node.id_.value}, "not one reply for each request run"});
    return;
  }
  if (!node.liar_) world.checkers.agreement.executed(node.id_, ran_batch(effect, replies));
  node.boundary(Boundary::executed);
}

void Node::Process::on_checkpoint(const CheckpointSummary& summary) {
  World& world = node.world_;
  world.trace.say([&] { return fmt::format("   {} takes checkpoint {}", node.endpoint_, summary.n.value); });
  world.trace.record(Trace::Kind::checkpoint, node.endpoint_, summary.n.value, fast_hash(summary.state.view()));
  if (!node.liar_) world.checkers.agreement.checkpoint(node.id_, summary);
  node.boundary(Boundary::checkpoint);
}

}  // namespace pbft::sim
