// A strict reader of the part of msgpack that the grammar uses: unsigned integers, bin, arrays and nil, each in its
// shortest form only. The first error sticks: every later read gives zero or nothing, so a decoder reads all its
// fields and asks once at the end. Nothing is allocated for a length that is beyond its limit or beyond the input.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include "node/pbft/types.h"
#include "node/wire/codec.h"
#include "node/wire/message_types.h"

namespace pbft::wire {

class Reader {
 public:
  // Keeps a share of the input; slices that it gives out share the same owner.
  explicit Reader(const SharedBytes& input) : input_(input), bytes_(input.view()) {}

  [[nodiscard]] bool ok() const { return !error_; }
  [[nodiscard]] WireError error() const { return *error_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  void fail(WireError error) {
    if (!error_) error_ = error;
  }
  // Records `error` unless `condition` holds.
  void require(bool condition, WireError error) {
    if (!condition) fail(error);
  }

  [[nodiscard]] std::uint64_t uint(std::uint64_t max = UINT64_MAX);
  // The number of elements. Each takes at least `element_bytes`, so a count that the rest of the input cannot hold is
  // refused.
  [[nodiscard]] std::size_t array(std::size_t min, std::size_t max, std::size_t element_bytes = 1);
  void array_of(std::size_t elements);
  [[nodiscard]] SharedBytes bin(std::size_t max);
  [[nodiscard]] bool next_is_nil();  // and takes it
  [[nodiscard]] bool next_is_bin() const;

  template <class Strong>
  [[nodiscard]] Strong number() {
    using Rep = typename Strong::rep;
    return Strong{static_cast<Rep>(uint(static_cast<Rep>(-1)))};
  }
  [[nodiscard]] ReplicaId replica() { return ReplicaId{static_cast<std::uint32_t>(uint(Limits::max_replicas - 1))}; }
  template <class Fixed>
  [[nodiscard]] Fixed fixed() {
    Fixed value;
    const BytesView view = bin_view(Fixed::size, Fixed::size);
    if (view.size() == Fixed::size) std::memcpy(value.bytes.data(), view.data(), Fixed::size);
    return value;
  }
  [[nodiscard]] MessageType type() { return static_cast<MessageType>(uint(UINT8_MAX)); }

  // Ends the reading: the value, if there was no error and nothing is left over.
  template <class T>
  [[nodiscard]] Decoded<T> finish(T value) {
    require(position_ == bytes_.size(), WireError::trailing_bytes);
    if (!ok()) return tl::unexpected(*error_);
    return value;
  }

 private:
  [[nodiscard]] std::size_t remaining() const { return bytes_.size() - position_; }
  [[nodiscard]] std::uint8_t byte();
  // A big-endian integer of `width` bytes that must be at least `least`: else a shorter form exists.
  [[nodiscard]] std::uint64_t big_endian(std::size_t width, std::uint64_t least);
  [[nodiscard]] BytesView bin_view(std::size_t min, std::size_t max);

  const SharedBytes& input_;
  BytesView bytes_;
  std::size_t position_ = 0;
  std::optional<WireError> error_;
};

}  // namespace pbft::wire
