#include "node/wire/codec.h"
#include "node/wire/parts.h"

namespace pbft::wire {
namespace {

// A body is an array of fewer than 16 elements whose first is its type, below 128: each of them one byte.
MessageType type_of(BytesView body) {
  return static_cast<MessageType>(body.size() < 2 ? 0 : body[1]);
}

// How large a signed message of this type may be; 0: there is no such thing.
std::size_t largest(MessageType type) {
  switch (type) {
    case MessageType::checkpoint:
    case MessageType::client_report:
      return max_signed_bytes;
    case MessageType::view_change:
      return Limits::max_new_view_bytes;
    case MessageType::new_view:
      return max_signed_new_view_bytes;
    default:
      return 0;
  }
}

}  // namespace

Bytes encode_signed(BytesView body, const Signature& signature) {
  Writer writer{body.size() + 2 * Writer::small};
  writer.array(3).type(type_of(body)).bin(body).put(signature);
  return writer.finish();
}

Decoded<SignedMessage> decode_signed(const SharedBytes& bytes) {
  if (bytes.size() > max_signed_new_view_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  reader.array_of(3);
  const MessageType type = reader.type();
  reader.require(largest(type) > 0, WireError::unknown_message);
  reader.require(bytes.size() <= largest(type), WireError::too_large);
  SignedMessage message;
  message.body = reader.bin(largest(type));
  if (reader.ok()) reader.require(type_of(message.body.view()) == type, WireError::unknown_message);
  message.signature = reader.fixed<Signature>();
  return reader.finish(std::move(message));
}

Decoded<Signer> decode_signer(const SharedBytes& body) {
  Reader reader{body};
  const Head head = read_head(reader);
  reader.require(head.arity >= 3, WireError::wrong_arity);
  const Signer signer = read_signer(reader);
  if (!reader.ok()) return tl::unexpected(reader.error());
  return signer;
}

Bytes encode_client_report_body(const ClientReportBody& body) {
  Writer writer{3 * Writer::small};
  write_signer(writer.array(4).type(MessageType::client_report), body.signer);
  writer.put(body.client);
  return writer.finish();
}

Decoded<ClientReportBody> decode_client_report_body(const SharedBytes& body) {
  if (body.size() > max_signed_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{body};
  reader.array_of(4);
  reader.require(reader.type() == MessageType::client_report, WireError::unknown_message);
  ClientReportBody decoded;
  decoded.signer = read_signer(reader);
  decoded.client = reader.fixed<ClientId>();
  return reader.finish(decoded);
}

Decoded<ClientReport> decode_client_report(const SharedBytes& bytes) {
  const Decoded<SignedMessage> message = decode_signed(bytes);
  if (!message) return tl::unexpected(message.error());
  const Decoded<ClientReportBody> body = decode_client_report_body(message->body);
  if (!body) return tl::unexpected(body.error());
  return ClientReport{body->client, bytes};
}

}  // namespace pbft::wire
