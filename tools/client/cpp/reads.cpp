#include "tools/client/cpp/reads.h"

#include <utility>

namespace pbft::client {

Reads::Reads(Quorum quorum, const CoreOptions& options, ResultBudget& budget)
    : quorum_(quorum), options_(options), budget_(&budget) {
  options_.retransmit_us = std::clamp<std::uint64_t>(options_.retransmit_us, 1, never / 16);
}

void Reads::start(Ticket ticket, RequestNumber number, SharedBytes operation) {
  reads_.emplace(number, Read{ticket, std::move(operation), Votes{quorum_.replicas(), quorum_.quorum(), *budget_}});
  numbers_.emplace(ticket, number);
  unsent_.insert(number);
}

void Reads::abandon(Ticket ticket) {
  if (const auto number = numbers_.find(ticket); number != numbers_.end()) {
    remove(number->second);
  }
}

bool Reads::receive(const ReadReply& reply, ReplicaId from) {
  const auto found = reads_.find(reply.number);
  if (found == reads_.end()) {
    return false;
  }
  Read& read = found->second;
  auto agreed = read.votes.add(from, reply.status, reply.result.view());
  if (agreed && (agreed->status == ReplyStatus::ok || agreed->status == ReplyStatus::failed)) {
    Outcome outcome{agreed->status == ReplyStatus::ok ? OutcomeKind::ok : OutcomeKind::failed, {}, {}};
    if (outcome.kind == OutcomeKind::failed) {
      outcome.message = as_text(agreed->result);
    }
    outcome.result = std::move(agreed->result);
    completions_.push_back({read.ticket, std::move(outcome)});
    remove(reply.number);
  } else if (agreed || read.votes.hopeless()) {
    fall_back(reply.number);  // The ordered path also finds the words for a refusal.
  }
  return true;
}

void Reads::advance(std::uint64_t now_us, Outbox& outbox) {
  now_ = now_us;
  for (const RequestNumber number : std::exchange(unsent_, {})) {
    Read& read = reads_.at(number);
    read.sent = true;
    read.fall_back_at = saturating_add(now_, options_.read_fallback_us);
    read.interval = options_.retransmit_us;
    send(number, read, outbox);
  }
  while (!schedule_.empty() && schedule_.begin()->first <= now_) {
    const RequestNumber number = schedule_.begin()->second;
    Read& read = reads_.at(number);
    if (read.fall_back_at <= now_) {
      fall_back(number);
    } else {
      read.interval = backed_off(read.interval, options_);
      send(number, read, outbox);
    }
  }
}

void Reads::send(RequestNumber number, Read& read, Outbox& outbox) {
  for (std::uint32_t replica = 0; replica < quorum_.replicas(); ++replica) {
    if (!read.votes.has_voted(ReplicaId{replica})) {
      outbox.add(ReplicaId{replica}, ReadRequest{number, read.operation});
    }
  }
  schedule(number, read, saturating_add(now_, read.interval));
}

void Reads::schedule(RequestNumber number, Read& read, std::uint64_t due) {
  schedule_.erase({read.wakeup(), number});
  read.due = due;
  schedule_.emplace(read.wakeup(), number);
}

void Reads::fall_back(RequestNumber number) {
  Read& read = reads_.at(number);
  fallbacks_.push_back({read.ticket, std::move(read.operation)});
  remove(number);
}

void Reads::remove(RequestNumber number) {
  const auto read = reads_.find(number);
  unsent_.erase(number);
  schedule_.erase({read->second.wakeup(), number});
  numbers_.erase(read->second.ticket);
  reads_.erase(read);
}

std::uint64_t Reads::next_wakeup_us() const {
  if (!unsent_.empty() || !completions_.empty() || !fallbacks_.empty()) {
    return 0;
  }
  return schedule_.empty() ? never : schedule_.begin()->first;
}

std::vector<Completion> Reads::take_completions() {
  return std::exchange(completions_, {});
}
std::vector<Reads::Fallback> Reads::take_fallbacks() {
  return std::exchange(fallbacks_, {});
}

}  // namespace pbft::client
