#include "node/wire/codec.h"
#include "node/wire/parts.h"

namespace pbft::wire {
Bytes encode_checkpoint_body(const CheckpointBody& body) {
  Writer writer{3 * Writer::small};
  writer.array(5).type(MessageType::checkpoint).put(body.epoch).put(body.replica).put(body.n).put(body.root);
  return writer.finish();
}

Decoded<CheckpointBody> decode_checkpoint_body(const SharedBytes& body) {
  if (body.size() > max_signed_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{body};
  reader.array_of(5);
  reader.require(reader.type() == MessageType::checkpoint, WireError::unknown_message);
  CheckpointBody decoded;
  decoded.epoch = reader.number<Epoch>();
  decoded.replica = reader.replica();
  decoded.n = reader.number<SequenceNumber>();
  decoded.root = reader.fixed<Digest>();
  return reader.finish(decoded);
}

std::size_t stable_size(const StableCheckpoint& proof) {
  std::size_t size = 2 * Writer::small;
  for (const StableCheckpoint::Vote& vote : proof.votes) size += vote.signed_bytes.size() + 11;
  return size;
}

void write_stable(Writer& writer, const StableCheckpoint& proof) {
  writer.put(proof.n).put(proof.root).array(proof.votes.size());
  for (const StableCheckpoint::Vote& vote : proof.votes) writer.array(2).put(vote.replica).put(vote.signed_bytes);
}

StableCheckpoint read_stable(Reader& reader) {
  StableCheckpoint proof;
  proof.n = reader.number<SequenceNumber>();
  proof.root = reader.fixed<Digest>();
  const std::size_t count = reader.array(0, Limits::max_replicas);
  proof.votes.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    reader.array_of(2);
    StableCheckpoint::Vote vote;
    vote.replica = reader.replica();
    vote.signed_bytes = reader.bin(max_signed_bytes);
    if (i > 0) reader.require(proof.votes[i - 1].replica < vote.replica, WireError::not_canonical);
    proof.votes.push_back(std::move(vote));
  }
  return proof;
}

Bytes encode_stable(const StableCheckpoint& proof) {
  Writer writer{stable_size(proof)};
  write_stable(writer.array(3), proof);
  return writer.finish();
}

Decoded<StableCheckpoint> decode_stable(const SharedBytes& bytes) {
  if (bytes.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  reader.array_of(3);
  StableCheckpoint proof = read_stable(reader);
  return reader.finish(std::move(proof));
}

void write_summary(Writer& writer, const CheckpointSummary& summary) {
  writer.array(6).put(summary.n).put(summary.state).put(summary.ledger_head);
  writer.put(summary.time).put(summary.epoch).put(summary.plugin);
}

CheckpointSummary read_summary(Reader& reader) {
  reader.array_of(6);
  CheckpointSummary summary;
  summary.n = reader.number<SequenceNumber>();
  summary.state = reader.fixed<Digest>();
  summary.ledger_head = reader.fixed<Digest>();
  summary.time = reader.number<Timestamp>();
  summary.epoch = reader.number<Epoch>();
  summary.plugin = reader.fixed<Digest>();
  return summary;
}

Bytes encode_summary(const CheckpointSummary& summary) {
  Writer writer{6 * Writer::small};
  write_summary(writer, summary);
  return writer.finish();
}

Decoded<CheckpointSummary> decode_summary(const SharedBytes& bytes) {
  if (bytes.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  const CheckpointSummary summary = read_summary(reader);
  return reader.finish(summary);
}

}  // namespace pbft::wire
