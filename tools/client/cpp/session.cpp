#include "tools/client/cpp/session.h"

#include <utility>

namespace pbft::client {
namespace {

constexpr std::size_t result_of_numbers = 8;

std::optional<std::uint64_t> big_endian(const Bytes& bytes) {
  if (bytes.size() != result_of_numbers) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) {
    value = value << 8U | byte;
  }
  return value;
}

CoreOptions sane(CoreOptions options) {
  options.session_window = std::max<std::uint64_t>(options.session_window, 1);
  options.max_bundle_requests = std::clamp<std::size_t>(options.max_bundle_requests, 1, Limits::max_bundle_requests);
  options.retransmit_us = std::clamp<std::uint64_t>(options.retransmit_us, 1, never / 16);
  return options;
}

std::optional<Votes::Agreed> counted(Votes& votes, const Reply& reply, ReplicaId from) {
  return reply.result ? votes.add(from, reply.status, reply.result->view())
                      : votes.add(from, reply.status, reply.result_digest);
}

// What one replica says for itself: it completes nothing.
bool is_hint(ReplyStatus status) {
  return status == ReplyStatus::busy || status == ReplyStatus::sign;
}

}  // namespace

Session::Session(Quorum quorum, const CoreOptions& options, crypto::ClientAuthenticator& authenticator,
                 ResultBudget& budget)
    : quorum_(quorum),
      options_(sane(options)),
      authenticator_(&authenticator),
      budget_(&budget),
      open_number_(std::max<std::uint64_t>(options.open_number, 1)),
      spread_((open_number_.value * 0x9E3779B97F4A7C15U) >> 52U),
      bump_(1 + ((open_number_.value * 0x9E3779B97F4A7C15U) >> 40U)),
      repliers_(quorum, spread_) {}

// ---- what goes in --------------------------------------------------------------------------------------

void Session::enqueue(Ticket ticket, SharedBytes operation, RequestKind kind) {
  waiting_.add(ticket, Wish{std::move(operation), kind});
  if (opening_ && flights_.at(opening_flight_).due == never) {
    reschedule(opening_flight_, now_);
  }
}

void Session::abandon(Ticket ticket) {
  if (waiting_.find(ticket) != nullptr) {
    waiting_.erase(ticket);
  } else if (numbers_.find(ticket) != nullptr) {
    landed(slots_.take(numbers_.take(ticket)).flight);
  }
}

std::size_t Session::busy_replicas(std::uint64_t now_us) const {
  const std::uint64_t lately = options_.retransmit_us * 16;  // two of the longest intervals between resends
  return static_cast<std::size_t>(
      std::count_if(busy_.begin(), busy_.end(), [&](const auto& said) { return now_us - said.second <= lately; }));
}

void Session::receive(const Reply& reply, ReplicaId from) {
  if (reply.session == SessionId{0}) {
    receive_opening(reply, from);
  } else if (id_ == reply.session) {
    receive_answer(reply, from);
  }
}

// ---- opening ---------------------------------------------------------------------------------------------

void Session::open_session(Outbox& outbox) {
  Request request;
  request.number = open_number_;
  request.kind = RequestKind::open_session;
  opening_.emplace(new_votes());
  opening_flight_ = next_flight_;
  next_flight_ = next_flight_.next();
  outbox.add_all(Hello{SessionId{0}, open_number_});
  last_hello_ = now_;
  launch(authenticator_->seal_bundle(SessionId{0}, RequestNumber{0}, {request}, options_.proof), opening_flight_, 1,
         outbox);
}

void Session::receive_opening(const Reply& reply, ReplicaId from) {
  if (!opening_ || reply.number != open_number_) {
    return;
  }
  if (is_hint(reply.status)) {
    hinted(reply, from, opening_flight_);
    return;
  }
  const bool lacked = opening_->lacks_result();
  if (const auto agreed = counted(*opening_, reply, from)) {
    opening_.reset();
    landed(opening_flight_);
    opening_answered(*agreed);
  } else if (!lacked && opening_->lacks_result()) {
    reschedule(opening_flight_, now_);
  }
}

void Session::opening_answered(const Votes::Agreed& agreed) {
  const std::optional<std::uint64_t> value = big_endian(agreed.result);
  if (agreed.status == ReplyStatus::ok && value && *value != 0) {
    id_ = SessionId{*value};
    opened_at_ = now_;
    next_ = RequestNumber{1};
    last_hello_.reset();
    repliers_ = Repliers{quorum_, spread_};
    return;
  }
  const std::uint64_t last = std::max(open_number_.value, value.value_or(0));
  const std::uint64_t next = saturating_add(last, bump_ + 1);
  if (agreed.status == ReplyStatus::stale_open && value && next != never) {
    open_number_ = RequestNumber{next};
    return;
  }
  if (next != never) {
    open_number_ = open_number_.next();
  }
  if (agreed.status == ReplyStatus::stale_open) {
    refuse_all(
        "the cluster opens no session: this client's key has used up the numbers of open_session; use another key");
  } else {
    refuse_all(outcome_of(agreed).message);
  }
}

void Session::refuse_all(const std::string& message) {
  waiting_.for_each([&](Ticket ticket, const Wish&) {
    completions_.push_back({ticket, {OutcomeKind::refused, {}, message}});
  });
  waiting_.clear();
}

// ---- answers -----------------------------------------------------------------------------------------------

void Session::receive_answer(const Reply& reply, ReplicaId from) {
  Slot* slot = slots_.find(reply.number);
  if (slot == nullptr) {
    return;
  }
  if (is_hint(reply.status)) {
    hinted(reply, from, slot->flight);
    return;
  }
  repliers_.voted(from);
  if (auto agreed = counted(slot->votes, reply, from)) {
    answered(reply.number, std::move(*agreed));
  } else if (!slot->asked_for_result && slot->votes.lacks_result()) {
    // Replicas answer a request that comes again with the full result.
    slot->asked_for_result = true;
    reschedule(slot->flight, now_);
  }
}

void Session::answered(RequestNumber number, Votes::Agreed agreed) {
  if (agreed.status == ReplyStatus::unknown_session) {
    evicted();
    return;
  }
  const Slot slot = slots_.take(number);
  repliers_.answered(slot.sent_at);
  completions_.push_back({slot.ticket, outcome_of(std::move(agreed))});
  numbers_.erase(slot.ticket);
  landed(slot.flight);
}

// Where more clients are at work than there are sessions, each that opens one pushes another client out. Who is pushed
// out soon stays away for longer each time, so that the others get something done.
void Session::back_off() {
  const std::uint64_t least = options_.retransmit_us;
  const bool soon = now_ - opened_at_ < 16 * std::max(pause_, least);
  evicted_soon_ = soon ? std::min<std::uint32_t>(evicted_soon_ + 1, 7) : 0;
  pause_ = evicted_soon_ < 2 ? 0 : least << (evicted_soon_ - 2);
  reopen_at_ = saturating_add(now_, pause_ + pause_ * spread_ / 4096);
}

void Session::evicted() {
  back_off();
  slots_.for_each([&](RequestNumber, Slot& slot) {
    if (slot.wish.kind == RequestKind::query) {
      waiting_.add(slot.ticket, std::move(slot.wish));  // A read has no effect: it may simply run again.
    } else {
      completions_.push_back(
          {slot.ticket,
           {OutcomeKind::unknown,
            {},
            "the session was evicted, or has lost results; whether the operation took effect is not known"}});
    }
  });
  slots_.clear();
  numbers_.clear();
  flights_.clear();
  schedule_.clear();
  id_.reset();
  open_number_ = RequestNumber{saturating_add(open_number_.value, bump_)};
}

Outcome Session::outcome_of(Votes::Agreed agreed) const {
  switch (agreed.status) {
    case ReplyStatus::ok:
      return {OutcomeKind::ok, std::move(agreed.result), {}};
    case ReplyStatus::failed: {
      std::string message{as_text(agreed.result)};
      return {OutcomeKind::failed, std::move(agreed.result), std::move(message)};
    }
    case ReplyStatus::not_a_client:
      return {OutcomeKind::refused,
              {},
              "the cluster does not know the client " + crypto::to_hex(authenticator_->id().view()) +
                  "; its public key has to be among the clients of the genesis"};
    case ReplyStatus::outside_window:
      return {OutcomeKind::refused,
              {},
              "the request's number is outside of the session's window; the client's session_window (" +
                  std::to_string(options_.session_window) + ") must be that of the genesis"};
    case ReplyStatus::unknown_session:
    case ReplyStatus::stale_open:
    case ReplyStatus::busy:
    case ReplyStatus::sign:
      break;
  }
  return {OutcomeKind::unknown,
          {},
          "the cluster gave an answer that has no meaning here (reply status " +
              std::to_string(static_cast<unsigned>(agreed.status)) + ")"};
}

// ---- what goes out -----------------------------------------------------------------------------------------

void Session::advance(std::uint64_t now_us, View view, Outbox& outbox) {
  now_ = now_us;
  repliers_.end_turn(now_us);
  const bool moved = view != view_;
  view_ = view;
  if (moved) {
    follow_primary(outbox);
  }
  if (!id_ && !opening_ && !waiting_.empty() && now_ >= reopen_at_) {
    open_session(outbox);
  }
  if (id_ && something_outstanding()) {
    say_hello(outbox);
  }
  if (id_) {
    send_bundles(outbox);
  }
  resend_due(outbox);
}

// Routes are taught anew from time to time: a replica may have restarted, or forgotten.
void Session::say_hello(Outbox& outbox) {
  const bool due = !last_hello_ || now_ >= saturating_add(*last_hello_, options_.hello_interval_us);
  if (!due && !hello_at_once_) {
    return;
  }
  const ReplicaId primary = quorum_.primary(view_);
  if (due) {
    repliers_.begin_period(primary);
    last_hello_ = now_;
  }
  hello_at_once_ = false;
  for (std::uint32_t i = 0; i < quorum_.replicas(); ++i) {
    outbox.add(ReplicaId{i}, Hello{*id_, RequestNumber{0}, !repliers_.wanted(ReplicaId{i})});
  }
}

RequestNumber Session::low() const {
  return slots_.empty() ? next_ : slots_.first_key();
}

bool Session::window_open() const {
  return next_.value - low().value < options_.session_window;
}

void Session::send_bundles(Outbox& outbox) {
  while (!waiting_.empty() && window_open()) {
    const FlightId flight = next_flight_;
    next_flight_ = next_flight_.next();
    const RequestNumber lowest = low();
    const RequestNumber first = next_;
    std::vector<Request> requests;
    std::size_t bytes = 256;  // what a body has beside its requests, rounded up
    while (!waiting_.empty() && requests.size() < options_.max_bundle_requests &&
           next_.value - lowest.value < options_.session_window) {
      const std::size_t added = waiting_.first().operation.size() + 32;
      if (!requests.empty() && bytes + added > Limits::max_bundle_bytes) {
        break;
      }
      bytes += added;
      const Ticket ticket = waiting_.first_key();
      Wish wish = waiting_.take(ticket);
      requests.push_back({next_, wish.kind, wish.operation});
      numbers_.add(ticket, next_);
      slots_.add(next_, Slot{ticket, std::move(wish), flight, new_votes(), now_});
      next_ = next_.next();
    }
    const std::size_t count = next_.value - first.value;
    launch(authenticator_->seal_bundle(*id_, lowest, std::move(requests), options_.proof), flight, count, outbox);
  }
}

void Session::launch(BundlePtr bundle, FlightId id, std::size_t open, Outbox& outbox) {
  Flight flight;
  flight.bundle = std::move(bundle);
  flight.open = open;
  flight.due = saturating_add(now_, options_.retransmit_us);
  flight.interval = options_.retransmit_us;
  outbox.add(quorum_.primary(view_), ClientRequest{flight.bundle});
  schedule_.emplace(flight.due, id);
  flights_.emplace(id, std::move(flight));
}

void Session::resend_due(Outbox& outbox) {
  while (!schedule_.empty() && schedule_.begin()->first <= now_) {
    const FlightId id = schedule_.begin()->second;
    Flight& flight = flights_.at(id);
    if (opening_ && id == opening_flight_ && waiting_.empty()) {
      reschedule(id, never);  // Nobody waits for the session: the next operation wakes this up again.
      continue;
    }
    if (opening_ && id == opening_flight_) {
      outbox.add_all(Hello{SessionId{0}, open_number_});
    }
    hello_at_once_ = repliers_.failed() || hello_at_once_;
    outbox.add_all(ClientRequest{flight.bundle});
    flight.postponed = false;
    flight.interval = backed_off(flight.interval, options_);
    reschedule(id, saturating_add(now_, flight.interval));
  }
}

// f+1 replicas are in a later view: its primary is to have at once what is outstanding, also where it was sent to all
// before, since what a replica had then it may have dropped. Should that be lost, the intervals begin anew.
void Session::follow_primary(Outbox& outbox) {
  hello_at_once_ = repliers_.reset() || hello_at_once_;
  for (auto& [id, flight] : flights_) {
    if (flight.due == never) {
      continue;
    }
    if (flight.due > now_) {  // else it goes to all right now
      outbox.add(quorum_.primary(view_), ClientRequest{flight.bundle});
    }
    flight.interval = options_.retransmit_us;
    reschedule(id, std::min(flight.due, saturating_add(now_, flight.interval)));
  }
}

void Session::reschedule(FlightId id, std::uint64_t due) {
  Flight& flight = flights_.at(id);
  schedule_.erase({flight.due, id});
  flight.due = due;
  schedule_.emplace(due, id);
}

void Session::landed(FlightId id) {
  Flight& flight = flights_.at(id);
  if (--flight.open == 0) {
    schedule_.erase({flight.due, id});
    flights_.erase(id);
  }
}

void Session::hinted(const Reply& reply, ReplicaId from, FlightId id) {
  if (reply.status == ReplyStatus::sign) {
    sign_from_now_on(id);
    return;
  }
  busy_[from] = now_;
  busy(id);
}

// One replica's hint: it takes nothing from this client without a signature. What is outstanding is sealed again, the
// same bodies, so that they keep their names, and all of it goes out at once. A liar costs signatures, once.
void Session::sign_from_now_on(FlightId id) {
  if (flights_.at(id).bundle->is_signed()) {
    return;
  }
  options_.proof = crypto::ClientAuthenticator::Proof::signature;
  for (auto& [other, flight] : flights_) {
    const Bundle& bundle = *flight.bundle;
    flight.bundle = authenticator_->seal_bundle(bundle.session, bundle.low, bundle.requests, options_.proof);
    if (flight.due != never) {
      reschedule(other, now_);
    }
  }
}

// One replica's hint. It puts off one resend once, so that a liar can slow a request down only by that much.
void Session::busy(FlightId id) {
  Flight& flight = flights_.at(id);
  if (!flight.postponed) {
    flight.postponed = true;
    reschedule(id, saturating_add(flight.due, flight.interval));
  }
}

std::uint64_t Session::next_wakeup_us() const {
  const bool has_to_open = !id_ && !opening_ && !waiting_.empty();
  if (!completions_.empty() || (has_to_open && now_ >= reopen_at_) || (id_ && !waiting_.empty() && window_open())) {
    return 0;
  }
  std::uint64_t wakeup = schedule_.empty() ? never : schedule_.begin()->first;
  if (has_to_open) {
    wakeup = std::min(wakeup, reopen_at_);
  }
  if (id_ && something_outstanding()) {
    wakeup = hello_at_once_
                 ? 0
                 : std::min(wakeup, last_hello_ ? saturating_add(*last_hello_, options_.hello_interval_us) : 0);
  }
  return wakeup;
}

std::vector<Completion> Session::take_completions() {
  return std::exchange(completions_, {});
}

}  // namespace pbft::client
