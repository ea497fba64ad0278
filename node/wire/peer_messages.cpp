#include <cassert>

#include "node/wire/codec.h"
#include "node/wire/parts.h"
#include "node/wire/state_messages.h"

namespace pbft::wire {
namespace {

// ---- Encoding: one overload per message --------------------------------------------------------------

Bytes encode_one(const PrePrepare& message) {
  Writer writer{Writer::small + batch_size(*message.batch)};
  writer.array(4).type(MessageType::pre_prepare).put(message.view).put(message.n);
  write_batch(writer, *message.batch);
  return writer.finish();
}

template <class Vote>
Bytes encode_vote(MessageType type, const Vote& vote) {
  Writer writer{2 * Writer::small};
  writer.array(4).type(type).put(vote.view).put(vote.n).put(vote.digest);
  return writer.finish();
}
Bytes encode_one(const Prepare& message) {
  return encode_vote(MessageType::prepare, message);
}
Bytes encode_one(const Commit& message) {
  return encode_vote(MessageType::commit, message);
}

template <class Signed>
Bytes encode_as_signed(const Signed& message) {
  assert(!message.signed_bytes.empty());
  const BytesView view = message.signed_bytes.view();
  return {view.begin(), view.end()};
}
Bytes encode_one(const Checkpoint& message) {
  return encode_as_signed(message);
}
Bytes encode_one(const ViewChange& message) {
  return encode_as_signed(message);
}
Bytes encode_one(const NewView& message) {
  return encode_as_signed(message);
}
Bytes encode_one(const ClientReport& message) {
  return encode_as_signed(message);
}

Bytes encode_one(const StableCheckpoint& message) {
  Writer writer{stable_size(message)};
  write_stable(writer.array(4).type(MessageType::stable_checkpoint), message);
  return writer.finish();
}

std::uint64_t flags_of(const Status::Lack& lack) {
  return (lack.batch ? 1U : 0U) | (lack.prepares ? 2U : 0U) | (lack.commits ? 4U : 0U);
}

std::uint64_t flags_of(const Status& status) {
  return (status.active ? 1U : 0U) | (status.suspects ? 2U : 0U);
}

Bytes encode_one(const Status& message) {
  Writer writer{2 * Writer::small + message.lacks.size() * 11};
  writer.array(8).type(MessageType::status).put(message.view).uint(flags_of(message)).uint(message.view_changes);
  writer.put(message.rejoins_in).put(message.stable).put(message.executed);
  writer.array(message.lacks.size());
  for (const Status::Lack& lack : message.lacks) writer.array(2).put(lack.n).uint(flags_of(lack));
  return writer.finish();
}

template <class Named>
Bytes encode_named(MessageType type, const Named& batch) {
  Writer writer{2 * Writer::small};
  writer.array(3).type(type).put(batch.n).put(batch.digest);
  return writer.finish();
}
Bytes encode_one(const Committed& message) {
  return encode_named(MessageType::committed, message);
}
Bytes encode_one(const FetchBatch& message) {
  return encode_named(MessageType::fetch_batch, message);
}

Bytes encode_one(const BatchResponse& message) {
  Writer writer{Writer::small + batch_size(*message.batch)};
  writer.array(3).type(MessageType::batch_response).put(message.n);
  write_batch(writer, *message.batch);
  return writer.finish();
}

Bytes encode_one(const FetchLedger& message) {
  Writer writer{Writer::small};
  writer.array(3).type(MessageType::fetch_ledger).put(message.first).put(message.last);
  return writer.finish();
}

Bytes encode_one(const LedgerRange& message) {
  Writer writer{7 * Writer::small + message.digests.size() * (Digest::size + 2)};
  writer.array(4).type(MessageType::ledger_range).put(message.first);
  write_summary(writer, message.summary);
  writer.array(message.digests.size());
  for (const Digest& digest : message.digests) writer.put(digest);
  return writer.finish();
}

Bytes encode_one(const Forward& message) {
  Writer writer{Writer::small + bundle_size(*message.bundle)};
  write_bundle(writer.array(3).type(MessageType::forward), *message.bundle);
  return writer.finish();
}

// ---- Decoding: what follows the type -------------------------------------------------------------------

PrePrepare read_pre_prepare(Reader& reader) {
  PrePrepare message;
  message.view = reader.number<View>();
  message.n = reader.number<SequenceNumber>();
  message.batch = read_batch(reader);
  return message;
}

template <class Vote>
Vote read_vote(Reader& reader) {
  Vote vote;
  vote.view = reader.number<View>();
  vote.n = reader.number<SequenceNumber>();
  vote.digest = reader.fixed<Digest>();
  return vote;
}

Status read_status(Reader& reader) {
  Status message;
  message.view = reader.number<View>();
  const std::uint64_t stands = reader.uint(3);
  message.active = (stands & 1U) != 0;
  message.suspects = (stands & 2U) != 0;
  reader.require(message.active || !message.suspects, WireError::not_canonical);
  message.view_changes = reader.uint();
  message.rejoins_in = reader.number<View>();
  message.stable = reader.number<SequenceNumber>();
  message.executed = reader.number<SequenceNumber>();
  const std::size_t count = reader.array(0, Limits::max_status_slots);
  message.lacks.reserve(count);
  SequenceNumber previous = message.stable;
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    reader.array_of(2);
    Status::Lack lack;
    lack.n = reader.number<SequenceNumber>();
    const std::uint64_t flags = reader.uint(7);
    lack.batch = (flags & 1U) != 0;
    lack.prepares = (flags & 2U) != 0;
    lack.commits = (flags & 4U) != 0;
    reader.require(previous < lack.n, WireError::not_canonical);
    previous = lack.n;
    message.lacks.push_back(lack);
  }
  return message;
}

template <class Named>
Named read_named(Reader& reader) {
  Named batch;
  batch.n = reader.number<SequenceNumber>();
  batch.digest = reader.fixed<Digest>();
  return batch;
}

BatchResponse read_batch_response(Reader& reader) {
  BatchResponse message;
  message.n = reader.number<SequenceNumber>();
  message.batch = read_batch(reader);
  return message;
}

FetchLedger read_fetch_ledger(Reader& reader) {
  FetchLedger message;
  message.first = reader.number<SequenceNumber>();
  message.last = reader.number<SequenceNumber>();
  return message;
}

LedgerRange read_ledger_range(Reader& reader) {
  LedgerRange message;
  message.first = reader.number<SequenceNumber>();
  message.summary = read_summary(reader);
  const std::size_t count = reader.array(1, Limits::max_ledger_range, 2 + Digest::size);
  message.digests.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) message.digests.push_back(reader.fixed<Digest>());
  return message;
}

// A signed message is read whole: its own array and type are read again by the readers of signed messages.
Decoded<Checkpoint> decode_checkpoint(const SharedBytes& bytes) {
  const Decoded<SignedMessage> message = decode_signed(bytes);
  if (!message) return tl::unexpected(message.error());
  const Decoded<CheckpointBody> body = decode_checkpoint_body(message->body);
  if (!body) return tl::unexpected(body.error());
  return Checkpoint{body->n, body->root, bytes};
}

}  // namespace

Bytes encode(const PeerMessage& message) {
  return std::visit([](const auto& alternative) { return encode_one(alternative); }, message);
}

Decoded<PeerMessage> decode_peer_message(const SharedBytes& bytes) {
  if (bytes.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  const Head head = read_head(reader);
  if (!reader.ok()) return tl::unexpected(reader.error());
  switch (head.type) {
    case MessageType::pre_prepare:
      return decode_fields<PeerMessage>(reader, head, 4, read_pre_prepare);
    case MessageType::prepare:
      return decode_fields<PeerMessage>(reader, head, 4, read_vote<Prepare>);
    case MessageType::commit:
      return decode_fields<PeerMessage>(reader, head, 4, read_vote<Commit>);
    case MessageType::checkpoint:
      return decode_checkpoint(bytes);
    case MessageType::stable_checkpoint:
      return decode_fields<PeerMessage>(reader, head, 4, read_stable);
    case MessageType::status:
      return decode_fields<PeerMessage>(reader, head, 8, read_status);
    case MessageType::fetch_batch:
      return decode_fields<PeerMessage>(reader, head, 3, read_named<FetchBatch>);
    case MessageType::committed:
      return decode_fields<PeerMessage>(reader, head, 3, read_named<Committed>);
    case MessageType::batch_response:
      return decode_fields<PeerMessage>(reader, head, 3, read_batch_response);
    case MessageType::fetch_ledger:
      return decode_fields<PeerMessage>(reader, head, 3, read_fetch_ledger);
    case MessageType::ledger_range:
      return decode_fields<PeerMessage>(reader, head, 4, read_ledger_range);
    case MessageType::forward:
      return decode_fields<PeerMessage>(reader, head, 3, [](Reader& rest) {
        return Forward{read_bundle(rest), false};
      });
    case MessageType::view_change:
      return decode_view_change(bytes);
    case MessageType::new_view:
      return decode_new_view(bytes);
    case MessageType::fetch_tree:
      return decode_fields<PeerMessage>(reader, head, 2, read_fetch_tree);
    case MessageType::tree:
      return decode_fields<PeerMessage>(reader, head, 3, read_tree);
    case MessageType::fetch_bucket:
      return decode_fields<PeerMessage>(reader, head, 5, read_fetch_bucket);
    case MessageType::bucket_part:
      return decode_fields<PeerMessage>(reader, head, 7, read_bucket_part);
    case MessageType::client_report:
      return decode_client_report(bytes);
    default:
      return tl::unexpected(WireError::unknown_message);
  }
}

}  // namespace pbft::wire
