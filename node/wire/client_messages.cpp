#include "node/wire/codec.h"
#include "node/wire/parts.h"

namespace pbft::wire {
namespace {

// ---- Encoding: one overload per message --------------------------------------------------------------

Bytes encode_one(const Hello& message) {
  Writer writer{Writer::small};
  writer.array(4).type(MessageType::hello).put(message.session).put(message.number).uint(message.quiet ? 1 : 0);
  return writer.finish();
}

Bytes encode_one(const ClientRequest& message) {
  Writer writer{Writer::small + bundle_size(*message.bundle)};
  write_bundle(writer.array(3).type(MessageType::client_request), *message.bundle);
  return writer.finish();
}

Bytes encode_one(const ReadRequest& message) {
  Writer writer{Writer::small + message.operation.size()};
  writer.array(3).type(MessageType::read_request).put(message.number).put(message.operation);
  return writer.finish();
}

Bytes encode_one(const InfoRequest& message) {
  Writer writer{Writer::small};
  writer.array(2).type(MessageType::info_request).put(message.number);
  return writer.finish();
}

Bytes encode_one(const Welcome& message) {
  Writer writer{Writer::small};
  writer.array(3).type(MessageType::welcome).put(message.view).put(message.executed);
  return writer.finish();
}

std::uint64_t number_of(ReplyStatus status) {
  return static_cast<std::uint8_t>(status);
}

Bytes encode_one(const Reply& message) {
  Writer writer{2 * Writer::small + (message.result ? message.result->size() : 0)};
  writer.array(6).type(MessageType::reply).put(message.view).put(message.session).put(message.number);
  writer.uint(number_of(message.status));
  message.result ? writer.put(*message.result) : writer.array(1).put(message.result_digest);
  return writer.finish();
}

Bytes encode_one(const ReadReply& message) {
  Writer writer{Writer::small + message.result.size()};
  writer.array(5).type(MessageType::read_reply).put(message.number).uint(number_of(message.status));
  writer.put(message.executed).put(message.result);
  return writer.finish();
}

Bytes encode_one(const InfoReply& message) {
  Writer writer{Writer::small + message.json.size()};
  writer.array(3).type(MessageType::info_reply).put(message.number).bin(as_bytes(message.json));
  return writer.finish();
}

// ---- Decoding: what follows the type -------------------------------------------------------------------

Hello read_hello(Reader& reader) {
  Hello message;
  message.session = reader.number<SessionId>();
  message.number = reader.number<RequestNumber>();
  message.quiet = reader.uint(1) == 1;
  return message;
}

ReadRequest read_read_request(Reader& reader) {
  ReadRequest message;
  message.number = reader.number<RequestNumber>();
  message.operation = reader.bin(Limits::max_operation_bytes);
  return message;
}

Welcome read_welcome(Reader& reader) {
  Welcome message;
  message.view = reader.number<View>();
  message.executed = reader.number<SequenceNumber>();
  return message;
}

ReplyStatus read_reply_status(Reader& reader) {
  return static_cast<ReplyStatus>(reader.uint(number_of(ReplyStatus::sign)));
}

Reply read_reply(Reader& reader) {
  Reply message;
  message.view = reader.number<View>();
  message.session = reader.number<SessionId>();
  message.number = reader.number<RequestNumber>();
  message.status = read_reply_status(reader);
  if (reader.next_is_bin()) {
    message.result = reader.bin(Limits::max_result_bytes);
  } else {
    reader.array_of(1);
    message.result_digest = reader.fixed<Digest>();
  }
  return message;
}

ReadReply read_read_reply(Reader& reader) {
  ReadReply message;
  message.number = reader.number<RequestNumber>();
  message.status = read_reply_status(reader);
  message.executed = reader.number<SequenceNumber>();
  message.result = reader.bin(Limits::max_result_bytes);
  return message;
}

InfoReply read_info_reply(Reader& reader) {
  InfoReply message;
  message.number = reader.number<RequestNumber>();
  const SharedBytes json = reader.bin(Limits::max_info_bytes);
  message.json = as_text(json.view());
  return message;
}

}  // namespace

Bytes encode(const ClientMessage& message) {
  return std::visit([](const auto& alternative) { return encode_one(alternative); }, message);
}

Decoded<ClientMessage> decode_client_message(const SharedBytes& bytes) {
  if (bytes.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  const Head head = read_head(reader);
  if (!reader.ok()) return tl::unexpected(reader.error());
  switch (head.type) {
    case MessageType::hello:
      return decode_fields<ClientMessage>(reader, head, 4, read_hello);
    case MessageType::client_request:
      return decode_fields<ClientMessage>(reader, head, 3,
                                          [](Reader& rest) { return ClientRequest{read_bundle(rest)}; });
    case MessageType::read_request:
      return decode_fields<ClientMessage>(reader, head, 3, read_read_request);
    case MessageType::info_request:
      return decode_fields<ClientMessage>(reader, head, 2,
                                          [](Reader& rest) { return InfoRequest{rest.number<RequestNumber>()}; });
    default:
      return tl::unexpected(WireError::unknown_message);
  }
}

Bytes encode(const ReplicaToClientMessage& message) {
  return std::visit([](const auto& alternative) { return encode_one(alternative); }, message);
}

Decoded<ReplicaToClientMessage> decode_replica_message(const SharedBytes& bytes) {
  if (bytes.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  const Head head = read_head(reader);
  if (!reader.ok()) return tl::unexpected(reader.error());
  switch (head.type) {
    case MessageType::welcome:
      return decode_fields<ReplicaToClientMessage>(reader, head, 3, read_welcome);
    case MessageType::reply:
      return decode_fields<ReplicaToClientMessage>(reader, head, 6, read_reply);
    case MessageType::read_reply:
      return decode_fields<ReplicaToClientMessage>(reader, head, 5, read_read_reply);
    case MessageType::info_reply:
      return decode_fields<ReplicaToClientMessage>(reader, head, 3, read_info_reply);
    default:
      return tl::unexpected(WireError::unknown_message);
  }
}

}  // namespace pbft::wire
