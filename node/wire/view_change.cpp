// The bodies of ViewChange and NewView.
#include <algorithm>
#include <cassert>
#include <tuple>

#include "node/wire/codec.h"
#include "node/wire/parts.h"

namespace pbft::wire {
namespace {

// An array's head, a number, a digest and a view, each in its shortest form.
constexpr std::size_t least_mark_bytes = 1 + 1 + (2 + Digest::size) + 1;

std::size_t marks_size(const std::vector<SlotMark>& marks) {
  return Writer::small + marks.size() * (1 + 9 + (2 + Digest::size) + 9);
}

void write_marks(Writer& writer, const std::vector<SlotMark>& marks) {
  writer.array(marks.size());
  for (const SlotMark& mark : marks) writer.array(3).put(mark.n).put(mark.digest).put(mark.view);
}

// Marks in the order that `precedes` says, without duplicates.
template <class Precedes>
std::vector<SlotMark> read_marks(Reader& reader, Precedes precedes) {
  const std::size_t count = reader.array(0, UINT32_MAX, least_mark_bytes);
  std::vector<SlotMark> marks;
  marks.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    reader.array_of(3);
    SlotMark mark;
    mark.n = reader.number<SequenceNumber>();
    mark.digest = reader.fixed<Digest>();
    mark.view = reader.number<View>();
    if (i > 0) reader.require(precedes(marks.back(), mark), WireError::not_canonical);
    marks.push_back(mark);
  }
  return marks;
}

bool by_number(const SlotMark& a, const SlotMark& b) {
  return a.n < b.n;
}
bool by_number_and_digest(const SlotMark& a, const SlotMark& b) {
  return std::tie(a.n, a.digest) < std::tie(b.n, b.digest);
}

std::optional<StableCheckpoint> read_optional_stable(Reader& reader) {
  if (reader.next_is_nil()) return std::nullopt;
  reader.array_of(3);
  return read_stable(reader);
}

NewView::Signed read_signed_view_change(Reader& reader) {
  reader.array_of(2);
  NewView::Signed read;
  read.replica = reader.replica();
  const SharedBytes bytes = reader.bin(Limits::max_new_view_bytes);
  if (!reader.ok()) return read;
  Decoded<ViewChange> message = decode_view_change(bytes);
  if (message) {
    read.message = *std::move(message);
  } else {
    reader.fail(message.error());
  }
  return read;
}

std::vector<NewView::Signed> read_view_changes(Reader& reader) {
  const std::size_t count = reader.array(0, Limits::max_replicas);
  std::vector<NewView::Signed> view_changes;
  view_changes.reserve(count);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    NewView::Signed one = read_signed_view_change(reader);
    bytes += one.message.signed_bytes.size();
    reader.require(bytes <= Limits::max_new_view_bytes, WireError::out_of_range);
    if (i > 0) reader.require(view_changes.back().replica < one.replica, WireError::not_canonical);
    view_changes.push_back(std::move(one));
  }
  return view_changes;
}

}  // namespace

Bytes encode_view_change_body(const Signer& signer, const ViewChange& message) {
  const std::size_t proof_size = message.stable ? stable_size(*message.stable) : 0;
  Writer writer{Writer::small + proof_size + marks_size(message.prepared) + marks_size(message.voted)};
  write_signer(writer.array(7).type(MessageType::view_change), signer);
  writer.put(message.view);
  if (message.stable) {
    write_stable(writer.array(3), *message.stable);
  } else {
    writer.nil();
  }
  write_marks(writer, message.prepared);
  write_marks(writer, message.voted);
  return writer.finish();
}

Decoded<ViewChangeBody> decode_view_change_body(const SharedBytes& body) {
  if (body.size() > Limits::max_new_view_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{body};
  reader.array_of(7);
  reader.require(reader.type() == MessageType::view_change, WireError::unknown_message);
  ViewChangeBody decoded;
  decoded.signer = read_signer(reader);
  decoded.message.view = reader.number<View>();
  decoded.message.stable = read_optional_stable(reader);
  decoded.message.prepared = read_marks(reader, by_number);
  decoded.message.voted = read_marks(reader, by_number_and_digest);
  return reader.finish(std::move(decoded));
}

Decoded<ViewChange> decode_view_change(const SharedBytes& bytes) {
  const Decoded<SignedMessage> message = decode_signed(bytes);
  if (!message) return tl::unexpected(message.error());
  Decoded<ViewChangeBody> body = decode_view_change_body(message->body);
  if (!body) return tl::unexpected(body.error());
  body->message.signed_bytes = bytes;
  return std::move(body->message);
}

Bytes encode_new_view_body(Epoch epoch, const NewView& message) {
  std::size_t size = 2 * Writer::small;
  for (const NewView::Signed& one : message.view_changes) size += one.message.signed_bytes.size() + 11;
  Writer writer{size};
  write_signer(writer.array(5).type(MessageType::new_view), {epoch, message.primary});
  writer.put(message.view).array(message.view_changes.size());
  for (const NewView::Signed& one : message.view_changes) {
    assert(!one.message.signed_bytes.empty());
    writer.array(2).put(one.replica).put(one.message.signed_bytes);
  }
  return writer.finish();
}

Decoded<NewViewBody> decode_new_view_body(const SharedBytes& body) {
  if (body.size() > max_signed_new_view_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{body};
  reader.array_of(5);
  reader.require(reader.type() == MessageType::new_view, WireError::unknown_message);
  const Signer signer = read_signer(reader);
  NewViewBody decoded;
  decoded.epoch = signer.epoch;
  decoded.message.primary = signer.replica;
  decoded.message.view = reader.number<View>();
  decoded.message.view_changes = read_view_changes(reader);
  return reader.finish(std::move(decoded));
}

Decoded<NewView> decode_new_view(const SharedBytes& bytes) {
  const Decoded<SignedMessage> message = decode_signed(bytes);
  if (!message) return tl::unexpected(message.error());
  Decoded<NewViewBody> body = decode_new_view_body(message->body);
  if (!body) return tl::unexpected(body.error());
  body->message.signed_bytes = bytes;
  return std::move(body->message);
}

}  // namespace pbft::wire
