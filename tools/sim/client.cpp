#include "tools/sim/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/sim/describe.h"

namespace pbft::sim {

SimClient::SimClient(World& world, std::uint32_t index)
    : world_(world),
      index_(index),
      random_(Random::stream(world.plan.seed, fmt::format("client {}", index))),
      faulty_(world.plan.faulty_client(index) ? std::make_unique<FaultyClient>(world, index) : nullptr) {}

void SimClient::start() {
  ++life_;
  process_ = world_.next_endpoint++;
  world_.client_processes[process_] = index_;
  client::CoreOptions options;
  options.session_window = world_.cluster.session_window;
  options.max_bundle_requests = random_.chance(500) ? random_.between(1, 4) : 256;
  options.retransmit_us = random_.between(100, 600) * millisecond;
  options.hello_interval_us = random_.between(300, 1'500) * millisecond;
  options.read_fallback_us = random_.between(50, 500) * millisecond;
  options.open_number = world_.wall_clock().value * 4096 + random_.below(4096);
  options.proof = world_.plan.clients.signatures ? crypto::ClientAuthenticator::Proof::signature
                                                 : crypto::ClientAuthenticator::Proof::macs;
  core_ = std::make_unique<client::ClientCore>(
      world_.roster, crypto::ClientAuthenticator{world_.roster, world_.client_identities[index_], world_.scheme},
      options);
  world_.trace.record(Trace::Kind::process, process_, index_, life_);
  for (std::uint32_t i = 0; i < world_.plan.clients.outstanding; ++i) think();
}

void SimClient::restart() {
  abandoned_ += outstanding_.size();
  outstanding_.clear();
  start();
}

// ---- Work -------------------------------------------------------------------------------------------

// Each of the operations that may be outstanding is a loop of its own: think, submit, wait for the answer.
void SimClient::think() {
  const ClientPlan& plan = world_.plan.clients;
  Microseconds pause = 1 + random_.below(2 * plan.think_max + 1);
  if (plan.rests > 0 && random_.chance(plan.rests)) pause += random_.below(plan.rest_max + 1);
  world_.scheduler.after(pause, [this, life = life_] {
    if (life == life_ && submitting_) submit_one();
  });
}

KvOperation SimClient::draw() {
  using Kind = KvOperation::Kind;
  const ClientPlan& plan = world_.plan.clients;
  KvOperation operation;
  const std::uint64_t key = random_.below(plan.keys);
  operation.key = fmt::format("k{}", key);
  // A value that nobody else writes says where a read has its answer from.
  const std::string unique = fmt::format("c{}.{}", process_, submitted_);
  if (random_.chance(plan.reads)) return operation;
  switch (random_.below(8)) {
    case 0:
      operation.kind = Kind::remove;
      break;
    case 1:
    case 2:
      operation.kind = Kind::cas;
      if (const auto seen = last_seen_.find(operation.key); seen != last_seen_.end()) operation.expected = seen->second;
      operation.value = unique;
      break;
    case 3:
    case 4:
      operation.kind = Kind::incr;
      operation.key = fmt::format("n{}", key);
      operation.amount = static_cast<std::int64_t>(process_ * 100'000 + submitted_);
      break;
    default:
      operation.kind = Kind::put;
      operation.value = unique + ":" + std::string(random_.below(plan.max_value), 'x');
  }
  return operation;
}

void SimClient::submit_one() {
  if (submitted_ < world_.plan.clients.operations) submit(draw());
}

void SimClient::submit(const KvOperation& operation) {
  ++submitted_;
  const bool gives_up = random_.chance(world_.plan.clients.deadlines);
  const Microseconds deadline = gives_up ? now() + random_.between(50, 5'000) * millisecond : 0;
  const client::Ticket ticket =
      operation.read_only() ? core_->query(operation.bytes(), deadline) : core_->submit(operation.bytes(), deadline);
  outstanding_[ticket.value] = {operation, world_.scheduler.now()};
  if (!faulty_) world_.checkers.outcomes.submitted({process_, ticket.value}, operation);
  world_.trace.say([&] { return fmt::format("c{} submits #{} {}", process_, ticket.value, to_string(operation)); });
  advance();
}

// ---- The core's doors ---------------------------------------------------------------------------------

void SimClient::receive(Endpoint process, Endpoint from, const SharedBytes& frame) {
  if (process != process_) return;  // that process is gone
  core_->receive(frame, world_.replica_at(from));
  advance();
}

void SimClient::advance() {
  const client::CoreEffects effects = core_->advance(now());
  for (const client::OutgoingFrame& frame : effects.frames) sent(frame);
  for (const client::Completion& completion : effects.completions) completed(completion);
  schedule_wakeup();
}

void SimClient::schedule_wakeup() {
  const std::uint64_t due = core_->next_wakeup_us();
  const std::uint64_t number = ++wakeup_;
  if (due == ~0ULL) return;
  world_.scheduler.at(std::max(due, now()), [this, number] {
    if (number == wakeup_) advance();
  });
}

void SimClient::sent(const client::OutgoingFrame& frame) {
  SharedBytes shared = SharedBytes::copy_of(frame.frame);
  Opened<ClientMessage> opened = open_client_frame(shared);
  if (faulty_) {
    shared = faulty_->twist(frame.to, opened.messages);
    opened = open_client_frame(shared);
  }
  for (const ClientMessage& message : opened.messages) {
    const auto* request = std::get_if<ClientRequest>(&message);
    if (request == nullptr) continue;
    const Bundle& bundle = *request->bundle;
    world_.checkers.requests.sent(bundle);
    for (const Request& one : bundle.requests) {
      if (one.kind == RequestKind::open_session) continue;
      if (one.kind == RequestKind::query) ++world_.sometimes.read_ordered;
      if (!faulty_)
        world_.checkers.outcomes.sent(process_, {bundle.client, bundle.session, one.number}, one.operation.view());
    }
  }
  world_.trace.say([&] { return fmt::format("c{} -> {}  {}", process_, frame.to.value, describe(opened.messages)); });
  world_.trace.record(Trace::Kind::send, process_, frame.to.value, fast_hash(shared.view()));
  world_.send(process_, frame.to, shared, opened.types);
}

void SimClient::completed(const client::Completion& completion) {
  const auto found = outstanding_.find(completion.ticket.value);
  if (found == outstanding_.end()) {
    world_.findings.report({"client-honest", 0, {}, "an outcome for an operation that is not outstanding"});
    return;
  }
  const Waiting waiting = found->second;
  outstanding_.erase(found);
  const client::Outcome& outcome = completion.outcome;
  const auto kind = static_cast<std::uint64_t>(outcome.kind);
  world_.trace.record(Trace::Kind::outcome, process_, completion.ticket.value, fast_hash(outcome.result) + kind);
  world_.trace.say([&] {
    const char* names[] = {"ok", "failed", "refused", "timed out", "busy", "unknown"};
    return fmt::format("c{} is told #{} {}: {} \"{}\" {}", process_, completion.ticket.value,
                       to_string(waiting.operation), names[kind], as_text(outcome.result).substr(0, 32),
                       outcome.message);
  });
  if (outcome.kind == client::OutcomeKind::ok || outcome.kind == client::OutcomeKind::failed) {
    ++answered_;
    total_latency_ += world_.scheduler.now() - waiting.since;
    const bool ok = outcome.kind == client::OutcomeKind::ok;
    if (!faulty_)
      world_.checkers.outcomes.answered({process_, completion.ticket.value},
                                        {ok ? ReplyStatus::ok : ReplyStatus::failed, outcome.result});
    if (ok && waiting.operation.kind == KvOperation::Kind::get) {
      last_seen_[waiting.operation.key] = std::string{as_text(outcome.result)};
    } else if (ok && waiting.operation.kind == KvOperation::Kind::put) {
      last_seen_[waiting.operation.key] = waiting.operation.value;
    } else {
      last_seen_.erase(waiting.operation.key);
    }
  } else {
    ++abandoned_;
    if (!faulty_) world_.checkers.outcomes.given_up({process_, completion.ticket.value});
    if (outcome.kind == client::OutcomeKind::unknown) ++world_.sometimes.client_unknown;
    if (outcome.kind == client::OutcomeKind::timed_out) ++world_.sometimes.client_timed_out;
  }
  const bool wrote = outcome.kind == client::OutcomeKind::ok && !waiting.operation.read_only();
  if (wrote && random_.chance(300)) return look_at(waiting.operation.key);
  think();
}

// What a replica answers that does not wait for what it has prepared shows right behind a write.
void SimClient::look_at(const std::string& key) {
  world_.scheduler.after(1 + random_.below(2 * millisecond), [this, key, life = life_] {
    if (life != life_ || !submitting_ || submitted_ >= world_.plan.clients.operations) return;
    KvOperation read;
    read.key = key;
    submit(read);
  });
}

std::string SimClient::oldest() const {
  if (outstanding_.empty()) return "nothing";
  const auto& [ticket, waiting] = *outstanding_.begin();
  return fmt::format("c{} #{} {} since {:.3f} s", process_, ticket, to_string(waiting.operation),
                     static_cast<double>(waiting.since) / 1e6);
}

}  // namespace pbft::sim
