#include "node/wire/packet_writer.h"
#include "node/wire/reader.h"

namespace pbft::wire {
namespace {

constexpr std::size_t packet_elements = 6;
constexpr std::size_t max_authenticator_bytes = Limits::max_replicas * Mac::size;

Sender read_sender(Reader& reader) {
  if (reader.next_is_bin()) return reader.fixed<ClientId>();
  return reader.replica();
}

}  // namespace

const char* to_string(WireError error) {
  switch (error) {
    case WireError::too_large:
      return "too_large";
    case WireError::truncated:
      return "truncated";
    case WireError::trailing_bytes:
      return "trailing_bytes";
    case WireError::not_minimal:
      return "not_minimal";
    case WireError::wrong_type:
      return "wrong_type";
    case WireError::wrong_arity:
      return "wrong_arity";
    case WireError::unknown_message:
      return "unknown_message";
    case WireError::unknown_version:
      return "unknown_version";
    case WireError::out_of_range:
      return "out_of_range";
    case WireError::not_canonical:
      return "not_canonical";
    case WireError::count_:
      break;
  }
  return "unknown";
}

Decoded<Packet> decode_packet(const SharedBytes& frame) {
  if (frame.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{frame};
  reader.array_of(packet_elements);
  reader.require(reader.uint() == protocol_version, WireError::unknown_version);
  Packet packet;
  packet.cluster = reader.fixed<ClusterId>();
  packet.epoch = reader.number<Epoch>();
  packet.sender = read_sender(reader);
  const std::size_t messages = reader.array(1, Limits::max_packet_messages);
  packet.messages.reserve(messages);
  for (std::size_t i = 0; i < messages && reader.ok(); ++i) {
    packet.messages.push_back(reader.bin(Limits::max_packet_bytes));
  }
  const std::size_t covered = reader.position();
  packet.authenticator = reader.bin(max_authenticator_bytes);
  if (reader.ok()) packet.authenticated = frame.slice(0, covered);
  return reader.finish(std::move(packet));
}

PacketWriter::PacketWriter(const ClusterId& cluster, Epoch epoch, const Sender& sender, std::size_t messages,
                           std::size_t bytes)
    // Room for the authenticator of a small cluster too, so that appending it moves nothing.
    : writer_(bytes + 5 * messages + 3 * Writer::small + 8 * Mac::size) {
  writer_.array(packet_elements).uint(protocol_version).put(cluster).put(epoch);
  std::visit([&](const auto& id) { writer_.put(id); }, sender);
  writer_.array(messages);
}

Bytes encode_packet(const ClusterId& cluster, Epoch epoch, const Sender& sender, const std::vector<Bytes>& messages) {
  std::size_t size = 0;
  for (const Bytes& message : messages) size += message.size();
  PacketWriter writer{cluster, epoch, sender, messages.size(), size};
  for (const Bytes& message : messages) writer.add(message);
  return writer.finish();
}

void append_authenticator(Bytes& packet, BytesView authenticator) {
  Writer element{authenticator.size() + 8};
  const Bytes bytes = element.bin(authenticator).finish();
  packet.insert(packet.end(), bytes.begin(), bytes.end());
}

}  // namespace pbft::wire
