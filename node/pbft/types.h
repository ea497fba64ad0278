// The words of the protocol as types that never mix: a View cannot be passed where a SequenceNumber
// belongs. Everything here is a value, free of I/O, and may be used from any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pbft {

using Bytes = std::vector<std::uint8_t>;
using BytesView = std::span<const std::uint8_t>;

inline BytesView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(std::string_view text) {
  const BytesView view = as_bytes(text);
  return {view.begin(), view.end()};
}

// An immutable run of bytes with shared ownership. Slices share the owner, so that a request inside a
// received frame costs no copy. The bytes stay valid for as long as any slice lives.
class SharedBytes {
 public:
  SharedBytes() = default;

  static SharedBytes own(Bytes bytes) {
    auto owner = std::make_shared<const Bytes>(std::move(bytes));
    const BytesView view{*owner};
    return {std::move(owner), view};
  }
  static SharedBytes copy_of(BytesView bytes) { return own(Bytes{bytes.begin(), bytes.end()}); }
  // `view` must lie in memory that `owner` keeps alive and unchanged.
  static SharedBytes alias(std::shared_ptr<const void> owner, BytesView view) { return {std::move(owner), view}; }

  [[nodiscard]] BytesView view() const { return view_; }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return view_.empty(); }
  [[nodiscard]] SharedBytes slice(std::size_t offset, std::size_t length) const {
    return {owner_, view_.subspan(offset, length)};
  }

  friend bool operator==(const SharedBytes& a, const SharedBytes& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.view_.data(), b.view_.data(), a.size()) == 0);
  }

 private:
  SharedBytes(std::shared_ptr<const void> owner, BytesView view) : owner_(std::move(owner)), view_(view) {}

  std::shared_ptr<const void> owner_;
  BytesView view_;
};

// A number with a meaning. Arithmetic is spelled out where it makes sense (next()), so that a sum of two
// sequence numbers does not compile.
template <class Tag, class Rep = std::uint64_t>
struct Number {
  using rep = Rep;
  Rep value{};

  constexpr Number() = default;
  constexpr explicit Number(Rep v) : value(v) {}
  [[nodiscard]] constexpr Number next() const { return Number{static_cast<Rep>(value + 1)}; }
  friend constexpr auto operator<=>(const Number&, const Number&) = default;
};

using View = Number<struct ViewTag>;
using SequenceNumber = Number<struct SequenceNumberTag>;  // 0 is the genesis state; batches start at 1
using ReplicaId = Number<struct ReplicaIdTag, std::uint32_t>;
using Epoch = Number<struct EpochTag>;          // number of the replica set in force
using SessionId = Number<struct SessionIdTag>;  // 0: no session yet
using RequestNumber = Number<struct RequestNumberTag>;
using Timestamp = Number<struct TimestampTag>;  // microseconds since the Unix epoch

template <class Tag, std::size_t Size>
struct FixedBytes {
  static constexpr std::size_t size = Size;
  std::array<std::uint8_t, Size> bytes{};

  [[nodiscard]] BytesView view() const { return bytes; }
  friend bool operator==(const FixedBytes& a, const FixedBytes& b) {
    return std::memcmp(a.bytes.data(), b.bytes.data(), Size) == 0;
  }
  // By bytes. Mostly the first eight decide, and a call costs more than they do.
  friend std::strong_ordering operator<=>(const FixedBytes& a, const FixedBytes& b) {
    static_assert(Size >= sizeof(std::uint64_t));
    if (const auto order = a.head() <=> b.head(); order != 0) return order;
    return std::memcmp(a.bytes.data(), b.bytes.data(), Size) <=> 0;
  }

 private:
  [[nodiscard]] std::uint64_t head() const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(value); ++i) value = value << 8U | bytes[i];
    return value;
  }
};

using Digest = FixedBytes<struct DigestTag, 32>;        // BLAKE2b-256
using ClientId = FixedBytes<struct ClientIdTag, 32>;    // the client's Ed25519 public key itself
using PublicKey = FixedBytes<struct PublicKeyTag, 32>;  // Ed25519
using Signature = FixedBytes<struct SignatureTag, 64>;  // Ed25519
using Mac = FixedBytes<struct MacTag, 16>;              // keyed BLAKE2b-128
using ClusterId = FixedBytes<struct ClusterIdTag, 16>;  // BLAKE2b-128 of the genesis

}  // namespace pbft
