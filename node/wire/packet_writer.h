// Writes a packet message by message into one buffer. The number of messages is known beforehand.
#pragma once

#include "node/wire/codec.h"
#include "node/wire/writer.h"

namespace pbft::wire {

class PacketWriter {
 public:
  // `bytes`: what all messages take together, as far as it is known.
  PacketWriter(const ClusterId& cluster, Epoch epoch, const Sender& sender, std::size_t messages, std::size_t bytes);

  void add(BytesView message) { writer_.bin(message); }
  // As encode_packet: the part that MACs cover.
  [[nodiscard]] Bytes finish() { return writer_.finish(); }

 private:
  Writer writer_;
};

}  // namespace pbft::wire
