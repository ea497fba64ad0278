// Pieces of the grammar that several messages share.
#pragma once

#include "node/wire/reader.h"
#include "node/wire/writer.h"

namespace pbft::wire {

// A kind byte and then a MAC for each replica, or a signature.
inline constexpr std::size_t max_proof_bytes = 1 + Limits::max_replicas * Mac::size;
// A signed checkpoint takes less than half of this, a client report still less.
inline constexpr std::size_t max_signed_bytes = 256;
// The view-changes of a new-view and what is around them.
inline constexpr std::size_t max_signed_new_view_bytes = Limits::max_new_view_bytes + 1024;

// bundle := bin body, bin proof (two elements of the enclosing array)
[[nodiscard]] std::size_t bundle_size(const Bundle& bundle);  // at most this many bytes
void write_bundle(Writer& writer, const Bundle& bundle);
[[nodiscard]] BundlePtr read_bundle(Reader& reader);  // null if the reader has failed

[[nodiscard]] std::size_t batch_size(const Batch& batch);
void write_batch(Writer& writer, const Batch& batch);
[[nodiscard]] BatchPtr read_batch(Reader& reader);  // null if the reader has failed

[[nodiscard]] std::size_t stable_size(const StableCheckpoint& proof);
// n, root, votes (three elements of the enclosing array)
void write_stable(Writer& writer, const StableCheckpoint& proof);
[[nodiscard]] StableCheckpoint read_stable(Reader& reader);

// epoch, replica (two elements of the enclosing array)
inline void write_signer(Writer& writer, const Signer& signer) {
  writer.put(signer.epoch).put(signer.replica);
}
[[nodiscard]] inline Signer read_signer(Reader& reader) {
  Signer signer;
  signer.epoch = reader.number<Epoch>();
  signer.replica = reader.replica();
  return signer;
}

// The whole of a signed message; the fields are those of its body.
[[nodiscard]] Decoded<ViewChange> decode_view_change(const SharedBytes& bytes);
[[nodiscard]] Decoded<NewView> decode_new_view(const SharedBytes& bytes);
[[nodiscard]] Decoded<ClientReport> decode_client_report(const SharedBytes& bytes);

void write_summary(Writer& writer, const CheckpointSummary& summary);
[[nodiscard]] CheckpointSummary read_summary(Reader& reader);

// How every message begins: an array whose first element is the type. The arity is part of what the type says, so it
// can be judged only once the type is known.
struct Head {
  std::size_t arity = 0;
  MessageType type{};
};
[[nodiscard]] inline Head read_head(Reader& reader) {
  Head head;
  head.arity = reader.array(0, UINT32_MAX);
  head.type = reader.type();
  return head;
}

// The rest of a message of `expected` elements, read by `read`.
template <class Variant, class Read>
[[nodiscard]] Decoded<Variant> decode_fields(Reader& reader, const Head& head, std::size_t expected, Read read) {
  reader.require(head.arity == expected, WireError::wrong_arity);
  if (!reader.ok()) return tl::unexpected(reader.error());
  Variant message{read(reader)};
  return reader.finish(std::move(message));
}

}  // namespace pbft::wire
