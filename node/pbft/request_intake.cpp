#include "node/pbft/request_intake.h"

#include <algorithm>
#include <vector>

#include "node/pbft/digests.h"

namespace pbft {

namespace {

// A full queue is looked through for what needs no order any more, at most this often.
constexpr Ticks tidy_interval = 100;

bool is_full(RequestQueue::Added added) {
  return added == RequestQueue::Added::full || added == RequestQueue::Added::client_full;
}

}  // namespace

// The primary is told at once of so many requests that wait here.
struct RequestIntake::Budget {
  bool spend(const Bundle& bundle) {
    if (forwards == 0 || bytes > (4U << 20)) return false;
    --forwards;
    bytes += bundle.body.size() + bundle.proof.size();
    return true;
  }
  std::size_t forwards = 64;
  std::size_t bytes = 0;
};

void RequestIntake::on_request(const BundlePtr& bundle, Ticks now, Outbox& out) {
  take(bundle, std::nullopt, now, out);
}

void RequestIntake::take(const BundlePtr& bundle, std::optional<ReplicaId> handed_on_by, Ticks now, Outbox& out) {
  if (delivery_.stopped()) return;
  if (!clients_.is_client(bundle->client)) return out.reject(Reject::not_a_client);
  if (needs_order(*bundle, out)) enqueue(bundle, handed_on_by, now, out);
}

void RequestIntake::on_forward(ReplicaId sender, const Forward& message, Ticks now, Outbox& out) {
  if (!normal_.is_primary()) return out.reject(Reject::not_primary, sender);
  if (!message.authentic) {
    suspects_.found_in_forward(sender, *message.bundle, now, out);
    return out.reject(Reject::bundle_not_authentic, sender);
  }
  const ClientId& client = message.bundle->client;
  if (!message.bundle->is_signed() && suspects_.must_sign(client, now)) suspects_.refused_in_forward(client, now, out);
  take(message.bundle, sender, now, out);
}

void RequestIntake::entered_view(Ticks now, Outbox& out) {
  tidy();
  queue_.keep_only([&](const Bundle& waiting) {
    if (normal_.is_primary() || waits_for(waiting, now)) return true;
    refuse_all(waiting, ReplyStatus::sign, out);
    return false;
  });
  watch_.forget_requests();
  line_up_all();
  serve_line(now, out);
}

void RequestIntake::state_replaced(Ticks now, Outbox& out) {
  tidy();
  line_up_all();
  serve_line(now, out);
}

void RequestIntake::line_up(const ClientId& client) {
  if (in_line_.insert(client).second) line_.push_back(client);
}

void RequestIntake::line_up_all() {
  for (const BundlePtr& bundle : queue_.waiting()) line_up(bundle->client);
}

void RequestIntake::serve_line(Ticks now, Outbox& out) {
  if (normal_.is_primary()) {
    line_.clear();
    in_line_.clear();
  }
  if (!view_.active) return;
  Budget budget;
  while (!line_.empty() && watch_first(line_.front(), budget, now, out)) {
    in_line_.erase(line_.front());
    line_.pop_front();
  }
}

void RequestIntake::on_tick(Ticks now, Outbox& out) {
  // The primary is suspected because, being there, it did not order what these did not sign.
  for (const ClientId& client : watch_.unsigned_reasons()) {
    suspects_.waited_in_vain(client, now, out);
    if (suspects_.named_here(client, now)) forget_unsigned(client, out);
  }
  for (const ClientId& client : watch_.take_moved()) line_up(client);
  for (const ClientId& client : queue_.take_moved()) line_up(client);
  serve_line(now, out);
  if (normal_.is_primary() || !view_.active) return;
  if (watch_.half_way()) forward_waiting(out);
  Budget budget;
  for (const auto& [client, digest] : watch_.half_starved()) {
    const BundlePtr bundle = queue_.waiting(digest);
    if (bundle && !budget.spend(*bundle)) return;
    watch_.told(client, digest);
    if (bundle) out.send_to(view_.primary(), Forward{bundle, false});
  }
}

// What its client has given up, or has had answered in another bundle, or has to sign, keeps none of the others from
// being among the first.
bool RequestIntake::watch_first(const ClientId& client, Budget& budget, Ticks now, Outbox& out) {
  const auto of_no_use = [&](const BundlePtr& bundle) {
    return !clients_.needs_order(*bundle) || !waits_for(*bundle, now);
  };
  std::vector<BundlePtr> first = queue_.waiting_of(client, PrimaryWatch::most_of_one);
  while (std::any_of(first.begin(), first.end(), of_no_use)) {
    for (const BundlePtr& bundle : first) {
      if (of_no_use(bundle)) queue_.forget_waiting(*bundle);
    }
    watch_.forget_settled(client);
    first = queue_.waiting_of(client, PrimaryWatch::most_of_one);
  }
  for (const BundlePtr& bundle : first) {
    if (!watch_.waits_with(*bundle) && (!watch_.has_room_for(client) || !budget.spend(*bundle))) return false;
    if (watch_.heard(*bundle) == PrimaryWatch::Heard::now) out.send_to(view_.primary(), Forward{bundle, false});
  }
  return true;
}

void RequestIntake::forward_waiting(Outbox& out) {
  Budget budget;
  for (const BundlePtr& bundle : queue_.waiting()) {
    if (!budget.spend(*bundle)) return;
    queue_.end_turn(bundle->client);
    out.send_to(view_.primary(), Forward{bundle, false});
  }
}

bool RequestIntake::is_first(const Bundle& bundle) const {
  if (!queue_.waiting(bundle.digest)) return true;
  const std::vector<BundlePtr> first = queue_.waiting_of(bundle.client, PrimaryWatch::most_of_one);
  return std::any_of(first.begin(), first.end(), [&](const BundlePtr& one) { return one->digest == bundle.digest; });
}

void RequestIntake::forget_unsigned(const ClientId& client, Outbox& out) {
  watch_.forget_unsigned(client);
  queue_.keep_only([&](const Bundle& waiting) {
    if (waiting.client != client || waiting.is_signed()) return true;
    refuse_all(waiting, ReplyStatus::sign, out);
    return false;
  });
}

void RequestIntake::tidy() {
  queue_.keep_only([&](const Bundle& waiting) { return clients_.needs_order(waiting); });
}

bool RequestIntake::needs_order(const Bundle& bundle, Outbox& out) {
  bool fresh = false;
  for (const Request& request : bundle.requests) {
    switch (clients_.state_of(bundle, request)) {
      case RequestState::fresh:
        fresh = true;
        break;
      case RequestState::executed:
        out.send(ResendReply{bundle.client, view_.view, bundle.session, request.number});
        break;
      case RequestState::forgotten:
        out.reject(Reject::request_too_old);
        break;
      case RequestState::outside_window:
        out.reject(Reject::request_outside_window);
        refuse(bundle, request, ReplyStatus::outside_window, out);
        break;
      case RequestState::stale_open:
        refuse(bundle, request, ReplyStatus::stale_open, out, encode_number(clients_.last_open(bundle.client).value));
        break;
      case RequestState::unknown_session:
        out.reject(Reject::unknown_session);
        refuse(bundle, request, ReplyStatus::unknown_session, out);
        break;
      case RequestState::not_a_client:
        break;  // checked before
    }
  }
  return fresh;
}

void RequestIntake::enqueue(const BundlePtr& bundle, std::optional<ReplicaId> handed_on_by, Ticks now, Outbox& out) {
  const bool refuses_macs =
      suspects_.must_sign(bundle->client, now) || !(normal_.is_primary() || waits_for(*bundle, now));
  if (!bundle->is_signed() && refuses_macs) {
    out.reject(Reject::signature_required);
    return refuse_all(*bundle, ReplyStatus::sign, out);
  }
  const RequestQueue::Added added = add_to_queue(bundle, handed_on_by, now);
  if (is_full(added)) {
    out.reject(added == RequestQueue::Added::full ? Reject::queue_full : Reject::client_queue_full);
    refuse_all(*bundle, ReplyStatus::busy, out);
  }
  if (normal_.is_primary()) {
    if (added == RequestQueue::Added::known) out.reject(Reject::already_known);
    return;
  }
  // Where more waits here than there is room for, the primary has enough to do, and this replica does not wait with the
  // client: it may be gone before there is room, and nobody would ever order what nobody holds.
  if (is_full(added)) return watch_.refused(bundle->client);
  // A client turns to a backup when the primary did not answer it: perhaps it cannot reach the primary.
  if (!is_first(*bundle)) return;
  if (!view_.active || !line_.empty() || !watch_.has_room_for(bundle->client)) return line_up(bundle->client);
  if (watch_.heard(*bundle) == PrimaryWatch::Heard::too_many) return;
  out.send_to(view_.primary(), Forward{bundle, false});
}

RequestQueue::Added RequestIntake::add_to_queue(const BundlePtr& bundle, std::optional<ReplicaId> handed_on_by,
                                                Ticks now) {
  const RequestQueue::Added added = queue_.add(bundle, RequestQueue::Proof::holds, handed_on_by);
  if (!is_full(added) || now < tidied_ + tidy_interval) return added;
  tidied_ = now;
  tidy();
  return queue_.add(bundle, RequestQueue::Proof::holds, handed_on_by);
}

void RequestIntake::refuse(const Bundle& bundle, const Request& request, ReplyStatus status, Outbox& out,
                           const Bytes& result) const {
  Reply reply;
  reply.view = view_.view;
  reply.session = bundle.session;
  reply.number = request.number;
  reply.status = status;
  reply.result = SharedBytes::copy_of(result);
  out.send(SendReply{bundle.client, std::move(reply)});
}

void RequestIntake::refuse_all(const Bundle& bundle, ReplyStatus status, Outbox& out) const {
  for (const Request& request : bundle.requests) refuse(bundle, request, status, out);
}

}  // namespace pbft
