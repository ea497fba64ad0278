// Takes the forms that decoders must judge in one list, so that a test speaks of "every message" once; and rewrites
// msgpack values in longer forms than needed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "node/wire/codec.h"
#include "tests/wire/samples.h"

namespace pbft::testing {

// Decodes the bytes as one kind of thing and encodes it again.
using Reencode = std::function<wire::Decoded<Bytes>(const SharedBytes&)>;

template <class T>
wire::Decoded<Bytes> encoded_again(const wire::Decoded<T>& decoded, const std::function<Bytes(const T&)>& encode) {
  if (!decoded) return tl::unexpected(decoded.error());
  return encode(*decoded);
}

struct Form {
  std::string name;
  Bytes bytes;
  Reencode reencode;
};

inline wire::Decoded<Bytes> reencode_peer(const SharedBytes& bytes) {
  return encoded_again<PeerMessage>(wire::decode_peer_message(bytes), [](const auto& m) { return wire::encode(m); });
}
inline wire::Decoded<Bytes> reencode_client(const SharedBytes& bytes) {
  return encoded_again<ClientMessage>(wire::decode_client_message(bytes),
                                      [](const auto& m) { return wire::encode(m); });
}
inline wire::Decoded<Bytes> reencode_replica(const SharedBytes& bytes) {
  return encoded_again<ReplicaToClientMessage>(wire::decode_replica_message(bytes),
                                               [](const auto& m) { return wire::encode(m); });
}
inline wire::Decoded<Bytes> reencode_body(const SharedBytes& bytes) {
  return encoded_again<BundlePtr>(wire::decode_bundle(bytes, {}), [](const BundlePtr& b) {
    return wire::encode_bundle_body(b->client, b->session, b->low, b->requests);
  });
}
inline wire::Decoded<Bytes> reencode_batch(const SharedBytes& bytes) {
  return encoded_again<BatchPtr>(wire::decode_batch(bytes), [](const BatchPtr& b) { return wire::encode_batch(*b); });
}
inline wire::Decoded<Bytes> reencode_stable(const SharedBytes& bytes) {
  return encoded_again<StableCheckpoint>(wire::decode_stable(bytes),
                                         [](const auto& proof) { return wire::encode_stable(proof); });
}
inline wire::Decoded<Bytes> reencode_summary(const SharedBytes& bytes) {
  return encoded_again<CheckpointSummary>(wire::decode_summary(bytes),
                                          [](const auto& summary) { return wire::encode_summary(summary); });
}
inline wire::Decoded<Bytes> reencode_signed(const SharedBytes& bytes) {
  return encoded_again<wire::SignedMessage>(wire::decode_signed(bytes), [](const wire::SignedMessage& message) {
    return wire::encode_signed(message.body.view(), message.signature);
  });
}
inline wire::Decoded<Bytes> reencode_checkpoint_body(const SharedBytes& bytes) {
  return encoded_again<wire::CheckpointBody>(wire::decode_checkpoint_body(bytes),
                                             [](const auto& body) { return wire::encode_checkpoint_body(body); });
}
inline wire::Decoded<Bytes> reencode_view_change_body(const SharedBytes& bytes) {
  return encoded_again<wire::ViewChangeBody>(wire::decode_view_change_body(bytes), [](const auto& body) {
    return wire::encode_view_change_body(body.signer, body.message);
  });
}
inline wire::Decoded<Bytes> reencode_new_view_body(const SharedBytes& bytes) {
  return encoded_again<wire::NewViewBody>(wire::decode_new_view_body(bytes), [](const auto& body) {
    return wire::encode_new_view_body(body.epoch, body.message);
  });
}
inline wire::Decoded<Bytes> reencode_client_report_body(const SharedBytes& bytes) {
  return encoded_again<wire::ClientReportBody>(wire::decode_client_report_body(bytes),
                                               [](const auto& body) { return wire::encode_client_report_body(body); });
}
inline wire::Decoded<Bytes> reencode_packet(const SharedBytes& bytes) {
  return encoded_again<wire::Packet>(wire::decode_packet(bytes), [](const wire::Packet& packet) {
    std::vector<Bytes> messages;
    for (const SharedBytes& message : packet.messages) {
      messages.emplace_back(message.view().begin(), message.view().end());
    }
    Bytes frame = wire::encode_packet(packet.cluster, packet.epoch, packet.sender, messages);
    wire::append_authenticator(frame, packet.authenticator.view());
    return frame;
  });
}

// One of everything that has an encoding.
inline std::vector<Form> every_form(std::uint64_t seed) {
  Samples samples{seed};
  std::vector<Form> forms;
  for (std::size_t i = 0; i < Samples::peer_kinds; ++i) {
    forms.push_back({"peer message " + std::to_string(i), wire::encode(samples.peer(i)), reencode_peer});
  }
  for (std::size_t i = 0; i < Samples::client_kinds; ++i) {
    forms.push_back({"client message " + std::to_string(i), wire::encode(samples.client(i)), reencode_client});
  }
  for (std::size_t i = 0; i < Samples::replica_kinds; ++i) {
    forms.push_back({"replica message " + std::to_string(i), wire::encode(samples.replica(i)), reencode_replica});
  }
  const auto copy = [](const SharedBytes& bytes) { return Bytes{bytes.view().begin(), bytes.view().end()}; };
  forms.push_back({"bundle body", copy(samples.bundle()->body), reencode_body});
  forms.push_back({"batch", wire::encode_batch(*samples.batch()), reencode_batch});
  forms.push_back({"stable checkpoint", wire::encode_stable(samples.stable()), reencode_stable});
  forms.push_back({"summary", wire::encode_summary(samples.summary()), reencode_summary});
  const auto add_signed = [&](const std::string& name, const SharedBytes& message, const Reencode& reencode) {
    forms.push_back({"signed " + name, copy(message), reencode_signed});
    forms.push_back({name + " body", copy(wire::decode_signed(message).value().body), reencode});
  };
  add_signed("checkpoint", samples.checkpoint().signed_bytes, reencode_checkpoint_body);
  add_signed("view-change", samples.view_change().signed_bytes, reencode_view_change_body);
  add_signed("new-view", samples.new_view().signed_bytes, reencode_new_view_body);
  add_signed("client report", samples.client_report().signed_bytes, reencode_client_report_body);
  for (const bool from_client : {false, true}) {
    const wire::Sender sender = from_client ? wire::Sender{samples.fixed<ClientId>()} : wire::Sender{ReplicaId{3}};
    Bytes frame = wire::encode_packet(samples.fixed<ClusterId>(), samples.strong<Epoch>(), sender,
                                      {samples.bytes(10), samples.bytes(300)});
    wire::append_authenticator(frame, samples.bytes(from_client ? 16 : 64));
    forms.push_back({from_client ? "client packet" : "peer packet", std::move(frame), reencode_packet});
  }
  return forms;
}

// A msgpack value of the forms that the grammar uses: where its head is and what it says.
struct Value {
  enum class Kind { uint, bin, array, nil };
  Kind kind;
  std::size_t position;
  std::size_t head_size;   // without the contents of a bin
  std::uint64_t argument;  // the number, the length or the count
};

// All values of a valid encoding in order, without a look into bins.
inline std::vector<Value> values_of(BytesView bytes) {
  std::vector<Value> values;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint8_t head = bytes[at];
    const auto argument = [&](std::size_t width) {
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < width; ++i) value = value << 8 | bytes[at + 1 + i];
      return value;
    };
    Value value{Value::Kind::uint, at, 1, head};
    if (head >= 0x90 && head <= 0x9f) value = {Value::Kind::array, at, 1, std::uint64_t{head} & 0x0f};
    if (head == 0xc0) value = {Value::Kind::nil, at, 1, 0};
    if (head == 0xdc) value = {Value::Kind::array, at, 3, argument(2)};
    if (head == 0xdd) value = {Value::Kind::array, at, 5, argument(4)};
    for (std::size_t i = 0; i < 3; ++i) {
      if (head == 0xc4 + i) value = {Value::Kind::bin, at, 1 + (1U << i), argument(1U << i)};
    }
    for (std::size_t i = 0; i < 4; ++i) {
      if (head == 0xcc + i) value = {Value::Kind::uint, at, 1 + (1U << i), argument(1U << i)};
    }
    at += value.head_size + (value.kind == Value::Kind::bin ? value.argument : 0);
    values.push_back(value);
  }
  return values;
}

// The heads that say the same in more bytes than needed.
inline std::vector<Bytes> longer_heads(const Value& value) {
  std::vector<std::pair<std::uint8_t, std::size_t>> heads;
  if (value.kind == Value::Kind::uint) heads = {{0xcc, 1}, {0xcd, 2}, {0xce, 4}, {0xcf, 8}};
  if (value.kind == Value::Kind::bin) heads = {{0xc4, 1}, {0xc5, 2}, {0xc6, 4}};
  if (value.kind == Value::Kind::array) heads = {{0xdc, 2}, {0xdd, 4}};
  std::vector<Bytes> longer;
  for (const auto& [head, width] : heads) {
    if (1 + width <= value.head_size) continue;
    Bytes bytes{head};
    for (std::size_t i = width; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(value.argument >> (8 * i)));
    longer.push_back(std::move(bytes));
  }
  return longer;
}

inline Bytes with_head(const Bytes& bytes, const Value& value, const Bytes& head) {
  Bytes changed{bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(value.position)};
  changed.insert(changed.end(), head.begin(), head.end());
  changed.insert(changed.end(), bytes.begin() + static_cast<std::ptrdiff_t>(value.position + value.head_size),
                 bytes.end());
  return changed;
}

}  // namespace pbft::testing
