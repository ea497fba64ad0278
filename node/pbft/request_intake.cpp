#include "node/pbft/request_intake.h"

#include "node/pbft/digests.h"

namespace pbft {

namespace {

// The primary is told at once of so many requests that wait here; their clients tell it of the rest.
constexpr std::size_t most_forwards = 64;
constexpr std::size_t most_forwarded_bytes = 4U << 20;
// A full queue is looked through for what needs no order any more, at most this often.
constexpr Ticks tidy_interval = 100;

bool is_full(RequestQueue::Added added) {
  return added == RequestQueue::Added::full || added == RequestQueue::Added::client_full;
}

}  // namespace

void RequestIntake::on_request(const BundlePtr& bundle, Ticks now, Outbox& out) {
  if (delivery_.stopped()) return;
  if (!clients_.is_client(bundle->client)) return out.reject(Reject::not_a_client);
  if (needs_order(*bundle, out)) enqueue(bundle, now, out);
}

void RequestIntake::on_forward(ReplicaId sender, const Forward& message, Ticks now, Outbox& out) {
  if (!normal_.is_primary()) return out.reject(Reject::not_primary, sender);
  if (!message.authentic) {
    suspects_.found_in_forward(sender, *message.bundle, now, out);
    return out.reject(Reject::bundle_not_authentic, sender);
  }
  const ClientId& client = message.bundle->client;
  if (!message.bundle->is_signed() && suspects_.must_sign(client, now)) suspects_.refused_in_forward(client, now, out);
  on_request(message.bundle, now, out);
}

void RequestIntake::entered_view(Ticks now, Outbox& out) {
  for (const BundlePtr& bundle : queue_.waiting()) {
    if (waits_for(*bundle, now)) watch_.heard(*bundle);
  }
  forward_waiting(out);
}

void RequestIntake::waited_in_vain(const ClientId& client, Ticks now, Outbox& out) {
  suspects_.waited_in_vain(client, now, out);
  watch_.forget_unsigned(client);
  for (const BundlePtr& bundle : queue_.waiting()) {
    if (bundle->client == client && !bundle->is_signed()) refuse_all(*bundle, ReplyStatus::sign, out);
  }
}

void RequestIntake::forward_waiting(Outbox& out) const {
  if (normal_.is_primary() || !view_.active) return;
  std::size_t forwarded = 0;
  std::size_t bytes = 0;
  for (const BundlePtr& bundle : queue_.waiting()) {
    if (forwarded++ == most_forwards || bytes > most_forwarded_bytes) return;
    bytes += bundle->body.size() + bundle->proof.size();
    out.send_to(view_.primary(), Forward{bundle, false});
  }
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
        // A session that this replica has not executed the opening of yet is not unknown.
        if (bundle.session > SessionId{delivery_.delivered().value}) {
          fresh = true;
        } else {
          out.reject(Reject::unknown_session);
          refuse(bundle, request, ReplyStatus::unknown_session, out);
        }
        break;
      case RequestState::not_a_client:
        break;  // checked before
    }
  }
  return fresh;
}

void RequestIntake::enqueue(const BundlePtr& bundle, Ticks now, Outbox& out) {
  if (!bundle->is_signed() && suspects_.must_sign(bundle->client, now)) {
    out.reject(Reject::signature_required);
    return refuse_all(*bundle, ReplyStatus::sign, out);
  }
  const RequestQueue::Added added = add_to_queue(bundle, now);
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
  if (waits_for(*bundle, now)) {
    watch_.heard(*bundle);
  } else {
    refuse_all(*bundle, ReplyStatus::sign, out);
  }
  if (view_.active) out.send_to(view_.primary(), Forward{bundle, false});
}

RequestQueue::Added RequestIntake::add_to_queue(const BundlePtr& bundle, Ticks now) {
  const RequestQueue::Added added = queue_.add(bundle);
  if (!is_full(added) || now < tidied_ + tidy_interval) return added;
  tidied_ = now;
  tidy();
  return queue_.add(bundle);
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
