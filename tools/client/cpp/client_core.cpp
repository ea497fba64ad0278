#include "tools/client/cpp/pbft/client_core.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "tools/client/cpp/deadlines.h"
#include "tools/client/cpp/outbox.h"
#include "tools/client/cpp/reads.h"
#include "tools/client/cpp/session.h"
#include "tools/client/cpp/surveys.h"
#include "tools/client/cpp/times.h"
#include "tools/client/cpp/votes.h"

namespace pbft::client {
namespace {

// Of each replica; several results of the largest size, or many small ones.
constexpr std::size_t unconfirmed_result_bytes = 64U << 20;

template <class T>
void append(std::vector<T>& to, std::vector<T> from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

struct ClientCore::Impl {
  Impl(std::size_t replicas, crypto::ClientAuthenticator owned, const CoreOptions& options)
      : quorum(static_cast<std::uint32_t>(replicas)),
        authenticator(std::move(owned)),
        budget(replicas, unconfirmed_result_bytes),
        outbox(replicas),
        session(quorum, options, authenticator, budget),
        reads(quorum, options, budget),
        surveys(quorum, options),
        views(replicas) {}

  Ticket add(std::uint64_t deadline_us) {
    const Ticket ticket = next_ticket;
    next_ticket = next_ticket.next();
    deadlines.add(ticket, deadline_us);
    return ticket;
  }

  RequestNumber new_read_number() { return std::exchange(next_read, next_read.next()); }

  bool refuse_too_large(Ticket ticket, const Bytes& operation) {
    if (operation.size() <= Limits::max_operation_bytes) {
      return false;
    }
    refused.push_back({ticket,
                       {OutcomeKind::refused,
                        {},
                        "the operation has " + std::to_string(operation.size()) + " bytes; at most " +
                            std::to_string(Limits::max_operation_bytes) + " are allowed"}});
    return true;
  }

  // A replica's view only grows, so the highest that it reported is where it is.
  void saw_view(ReplicaId from, View view) { views[from.value] = std::max(views[from.value], view); }

  // The highest view that f+1 replicas reported at or above: at least one of them is correct.
  [[nodiscard]] View believed_view() const {
    std::vector<View> sorted = views;
    std::sort(sorted.rbegin(), sorted.rend());
    return sorted[quorum.faults()];
  }

  void handle(const Welcome& message, ReplicaId from) { saw_view(from, message.view); }
  void handle(const Reply& message, ReplicaId from) {
    saw_view(from, message.view);
    session.receive(message, from);
  }
  void handle(const ReadReply& message, ReplicaId from) {
    if (reads.receive(message, from)) {
      return;
    }
    Outcome answer{OutcomeKind::ok, Bytes{message.result.view().begin(), message.result.view().end()}, {}};
    if (message.status != ReplyStatus::ok) {
      answer.kind = message.status == ReplyStatus::failed ? OutcomeKind::failed : OutcomeKind::refused;
      answer.message = message.status == ReplyStatus::failed ? std::string{as_text(answer.result)}
                       : message.status == ReplyStatus::busy ? "the replica is busy"
                                                             : "the replica does not answer reads of this client";
    }
    surveys.receive(message.number, from, std::move(answer));
  }
  void handle(const InfoReply& message, ReplicaId from) {
    surveys.receive(message.number, from, {OutcomeKind::ok, to_bytes(message.json), {}});
  }

  void collect(std::vector<Completion>& completions) {
    std::vector<Completion> all = std::exchange(refused, {});
    append(all, session.take_completions());
    append(all, reads.take_completions());
    for (Completion& completion : all) {
      deadlines.remove(completion.ticket);
      completions.push_back(std::move(completion));
    }
  }

  void fall_back_reads() {
    for (Reads::Fallback& read : reads.take_fallbacks()) {
      session.enqueue(read.ticket, std::move(read.operation), RequestKind::query);
    }
  }

  void time_out(std::uint64_t now_us, std::vector<Completion>& completions) {
    while (const auto ticket = deadlines.take_due(now_us)) {
      const std::size_t busy = session.busy_replicas(now_us);
      session.abandon(*ticket);
      reads.abandon(*ticket);
      completions.push_back({*ticket, busy >= quorum.weak() ? too_busy(busy) : no_answer(busy)});
    }
  }

  [[nodiscard]] std::string of_the_replicas(std::size_t count) const {
    return std::to_string(count) + " of " + std::to_string(quorum.replicas()) + " replicas";
  }
  [[nodiscard]] Outcome too_busy(std::size_t busy) const {
    return {OutcomeKind::busy,
            {},
            "busy: the cluster has more work than it can take (so say " + of_the_replicas(busy) +
                "); try again later, or send less at a time. The operation may still take effect"};
  }
  [[nodiscard]] Outcome no_answer(std::size_t busy) const {
    return {OutcomeKind::timed_out,
            {},
            "the cluster did not answer in time (heard of " + of_the_replicas(heard.size()) + " so far" +
                (busy > 0 ? "; " + std::to_string(busy) + " of them said that it is busy" : "") +
                "); the operation may still take effect"};
  }

  Quorum quorum;
  crypto::ClientAuthenticator authenticator;
  ResultBudget budget;
  Outbox outbox;
  Session session;
  Reads reads;
  Surveys surveys;
  std::vector<View> views;
  std::set<ReplicaId> heard;  // sent something authentic since the start

  Ticket next_ticket{1};
  RequestNumber next_read{1};
  Deadlines deadlines;  // of everything outstanding
  std::vector<Completion> refused;
};

ClientCore::ClientCore(crypto::Roster roster, crypto::ClientAuthenticator authenticator, CoreOptions options) {
  if (roster.signed_requests) options.proof = crypto::ClientAuthenticator::Proof::signature;
  impl_ = std::make_unique<Impl>(std::max<std::size_t>(roster.replicas.size(), 1), std::move(authenticator), options);
}
ClientCore::~ClientCore() = default;

Ticket ClientCore::submit(Bytes operation, std::uint64_t deadline_us) {
  const Ticket ticket = impl_->add(deadline_us);
  if (!impl_->refuse_too_large(ticket, operation)) {
    impl_->session.enqueue(ticket, SharedBytes::own(std::move(operation)), RequestKind::execute);
  }
  return ticket;
}

Ticket ClientCore::query(Bytes operation, std::uint64_t deadline_us) {
  const Ticket ticket = impl_->add(deadline_us);
  if (!impl_->refuse_too_large(ticket, operation)) {
    impl_->reads.start(ticket, impl_->new_read_number(), SharedBytes::own(std::move(operation)));
  }
  return ticket;
}

Ticket ClientCore::survey_info(std::uint64_t deadline_us) {
  const Ticket ticket = std::exchange(impl_->next_ticket, impl_->next_ticket.next());
  impl_->surveys.start(ticket, impl_->new_read_number(), std::nullopt, deadline_us);
  return ticket;
}

Ticket ClientCore::survey_query(Bytes operation, std::uint64_t deadline_us) {
  const Ticket ticket = std::exchange(impl_->next_ticket, impl_->next_ticket.next());
  impl_->surveys.start(ticket, impl_->new_read_number(), SharedBytes::own(std::move(operation)), deadline_us);
  return ticket;
}

void ClientCore::receive(const SharedBytes& frame, ReplicaId from) {
  if (from.value >= impl_->quorum.replicas()) {
    return;
  }
  const auto messages = impl_->authenticator.open(frame, from);
  if (!messages) {
    return;
  }
  impl_->heard.insert(from);
  for (const ReplicaToClientMessage& message : *messages) {
    std::visit([&](const auto& concrete) { impl_->handle(concrete, from); }, message);
  }
}

CoreEffects ClientCore::advance(std::uint64_t now_us) {
  CoreEffects effects;
  impl_->collect(effects.completions);
  impl_->fall_back_reads();  // The session holds what is to be ordered, so that a deadline finds it there.
  impl_->time_out(now_us, effects.completions);
  impl_->reads.advance(now_us, impl_->outbox);
  impl_->fall_back_reads();
  impl_->session.advance(now_us, impl_->believed_view(), impl_->outbox);
  impl_->surveys.advance(now_us, impl_->outbox);
  impl_->collect(effects.completions);
  effects.surveys = impl_->surveys.take_completions();
  impl_->outbox.flush(impl_->authenticator, effects.frames);
  return effects;
}

std::uint64_t ClientCore::next_wakeup_us() const {
  std::uint64_t wakeup = impl_->refused.empty() ? never : 0;
  wakeup = std::min(wakeup, impl_->deadlines.next().value_or(never));
  return std::min(
      {wakeup, impl_->session.next_wakeup_us(), impl_->reads.next_wakeup_us(), impl_->surveys.next_wakeup_us()});
}

std::size_t ClientCore::outstanding() const {
  return impl_->deadlines.size();
}
std::optional<SessionId> ClientCore::session() const {
  return impl_->session.id();
}
View ClientCore::view() const {
  return impl_->believed_view();
}

}  // namespace pbft::client
