// Appends msgpack values in their shortest form to a buffer that it owns.
#pragma once

#include <cstdint>
#include <msgpack/pack.hpp>
#include <utility>

#include "node/pbft/types.h"
#include "node/wire/message_types.h"

namespace pbft::wire {

class Writer {
 public:
  // Room that a header, a number, a digest or the like takes at most; for reserving.
  static constexpr std::size_t small = 48;

  explicit Writer(std::size_t expected_size) : packer_(sink_) { sink_.bytes.reserve(expected_size); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Writer& array(std::size_t elements) {
    packer_.pack_array(static_cast<std::uint32_t>(elements));
    return *this;
  }
  Writer& uint(std::uint64_t value) {
    packer_.pack_uint64(value);
    return *this;
  }
  Writer& type(MessageType type) { return uint(static_cast<std::uint8_t>(type)); }
  Writer& nil() {
    packer_.pack_nil();
    return *this;
  }
  Writer& bin(BytesView bytes) {
    packer_.pack_bin(static_cast<std::uint32_t>(bytes.size()));
    return raw(bytes);
  }
  // Bytes that are msgpack already.
  Writer& raw(BytesView bytes) {
    sink_.bytes.insert(sink_.bytes.end(), bytes.begin(), bytes.end());
    return *this;
  }

  template <class Tag, class Rep>
  Writer& put(const Number<Tag, Rep>& number) {
    return uint(number.value);
  }
  template <class Tag, std::size_t Size>
  Writer& put(const FixedBytes<Tag, Size>& bytes) {
    return bin(bytes.view());
  }
  Writer& put(const SharedBytes& bytes) { return bin(bytes.view()); }

  [[nodiscard]] Bytes finish() { return std::move(sink_.bytes); }

 private:
  struct Sink {
    Bytes bytes;
    void write(const char* data, std::size_t size) { bytes.insert(bytes.end(), data, data + size); }
  };

  Sink sink_;
  msgpack::packer<Sink> packer_;
};

}  // namespace pbft::wire
