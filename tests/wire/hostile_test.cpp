// What decoders do with bytes that nobody honest wrote. The property behind all of it: one message has one encoding,
// so whatever decodes encodes to the very same bytes.
#include <catch2/catch.hpp>

#include "tests/wire/forms.h"

namespace pbft::testing {
namespace {

using wire::WireError;

void check_one_encoding(const Form& form, const Bytes& bytes) {
  const auto again = form.reencode(SharedBytes::copy_of(bytes));
  if (again && *again != bytes) FAIL(form.name << " decodes from bytes that are not its encoding");
}

TEST_CASE("every form round-trips byte for byte") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    for (const Form& form : every_form(seed)) {
      INFO(form.name << ", seed " << seed);
      const auto again = form.reencode(SharedBytes::copy_of(form.bytes));
      REQUIRE(again.has_value());
      REQUIRE(*again == form.bytes);
    }
  }
}

TEST_CASE("every truncation is refused") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    for (const Form& form : every_form(seed)) {
      for (std::size_t size = 0; size < form.bytes.size(); ++size) {
        const auto decoded = form.reencode(SharedBytes::copy_of(BytesView{form.bytes}.first(size)));
        if (decoded) FAIL(form.name << " decodes after " << size << " of " << form.bytes.size() << " bytes");
        if (decoded.error() != WireError::truncated) FAIL(form.name << ": " << to_string(decoded.error()));
      }
    }
  }
}

TEST_CASE("trailing bytes are refused") {
  for (const Form& form : every_form(1)) {
    INFO(form.name);
    Bytes longer = form.bytes;
    longer.push_back(0);
    const auto decoded = form.reencode(SharedBytes::own(longer));
    REQUIRE_FALSE(decoded.has_value());
    CHECK(decoded.error() == WireError::trailing_bytes);
  }
}

TEST_CASE("every number, length and count in a longer form than needed is refused") {
  std::size_t tried = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const Form& form : every_form(seed)) {
      for (const Value& value : values_of(form.bytes)) {
        for (const Bytes& head : longer_heads(value)) {
          const auto decoded = form.reencode(SharedBytes::own(with_head(form.bytes, value, head)));
          if (decoded) FAIL(form.name << " takes a longer form at " << value.position);
          if (decoded.error() != WireError::not_minimal) FAIL(form.name << ": " << to_string(decoded.error()));
          ++tried;
        }
      }
    }
  }
  CHECK(tried > 1000);
}

TEST_CASE("another type in the place of any value is refused") {
  // Signed integers, str, map, float, bool, ext and the byte that msgpack never uses.
  const std::uint8_t heads[] = {0xff, 0xd0, 0xd3, 0xa1, 0xd9, 0x81, 0xcb, 0xc2, 0xc3, 0xc7, 0xd4, 0xc1};
  for (const Form& form : every_form(2)) {
    const std::vector<Value> values = values_of(form.bytes);
    // Of large forms, which repeat themselves, every 7th.
    const std::size_t step = form.bytes.size() > 3000 ? 7 : 1;
    for (std::size_t i = 0; i < values.size(); i += step) {
      const std::size_t position = values[i].position;
      for (const std::uint8_t head : heads) {
        Bytes changed = form.bytes;
        changed[position] = head;
        const auto decoded = form.reencode(SharedBytes::own(changed));
        if (decoded) FAIL(form.name << " takes type " << int{head} << " at " << position);
        if (decoded.error() != WireError::wrong_type) FAIL(form.name << ": " << to_string(decoded.error()));
      }
    }
  }
}

TEST_CASE("an array with an element more or less is refused") {
  for (const Form& form : every_form(3)) {
    for (const Value& value : values_of(form.bytes)) {
      if (value.kind != Value::Kind::array) continue;
      for (const std::uint64_t count : {value.argument - 1, value.argument + 1}) {
        if (count > 15) continue;
        const Bytes head{static_cast<std::uint8_t>(0x90 + count)};
        const auto decoded = form.reencode(SharedBytes::own(with_head(form.bytes, value, head)));
        if (decoded) FAIL(form.name << " takes " << count << " elements at " << value.position);
      }
    }
  }
}

TEST_CASE("no flipped bit gives a second encoding") {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    for (const Form& form : every_form(seed)) {
      // Of large forms every 11th bit: each place in a byte is met.
      const std::size_t step = form.bytes.size() > 3000 ? 11 : 1;
      for (std::size_t bit = 0; bit < form.bytes.size() * 8; bit += step) {
        Bytes flipped = form.bytes;
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        check_one_encoding(form, flipped);
      }
    }
  }
}

TEST_CASE("no mutation crashes or gives a second encoding") {
  Samples samples{99};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<Form> forms = every_form(seed);
    for (const Form& form : forms) {
      for (int round = 0; round < 60; ++round) {
        Bytes bytes = form.bytes;
        for (std::uint64_t edits = 1 + samples.below(4); edits > 0 && !bytes.empty(); --edits) {
          const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(samples.below(bytes.size()));
          switch (samples.below(5)) {
            case 0:
              *at = static_cast<std::uint8_t>(samples.below(256));
              break;
            case 1:
              bytes.erase(at);
              break;
            case 2:
              bytes.insert(at, static_cast<std::uint8_t>(0x90 + samples.below(0x70)));
              break;
            case 3:
              bytes.erase(
                  at, at + static_cast<std::ptrdiff_t>(samples.below(static_cast<std::uint64_t>(bytes.end() - at))));
              break;
            default: {  // a piece of another form
              const Bytes& other = forms[samples.below(forms.size())].bytes;
              const std::size_t from = samples.below(other.size());
              const std::size_t size = samples.below(std::min<std::size_t>(other.size() - from, 64));
              bytes.insert(at, other.begin() + static_cast<std::ptrdiff_t>(from),
                           other.begin() + static_cast<std::ptrdiff_t>(from + size));
            }
          }
        }
        for (const Form& reader : forms) check_one_encoding(reader, bytes);
      }
    }
  }
}

TEST_CASE("random bytes are refused or have one encoding") {
  Samples samples{7};
  const std::vector<Form> forms = every_form(0);
  for (int round = 0; round < 20'000; ++round) {
    const Bytes bytes = samples.bytes(samples.below(64));
    for (const Form& form : forms) check_one_encoding(form, bytes);
  }
}

TEST_CASE("a message of one direction is unknown in another") {
  Samples samples{5};
  for (std::size_t i = 0; i < Samples::peer_kinds; ++i) {
    const SharedBytes bytes = SharedBytes::own(wire::encode(samples.peer(i)));
    CHECK(wire::decode_client_message(bytes).error() == WireError::unknown_message);
    CHECK(wire::decode_replica_message(bytes).error() == WireError::unknown_message);
  }
  for (std::size_t i = 0; i < Samples::client_kinds; ++i) {
    const SharedBytes bytes = SharedBytes::own(wire::encode(samples.client(i)));
    CHECK(wire::decode_peer_message(bytes).error() == WireError::unknown_message);
    CHECK(wire::decode_replica_message(bytes).error() == WireError::unknown_message);
  }
  for (std::size_t i = 0; i < Samples::replica_kinds; ++i) {
    const SharedBytes bytes = SharedBytes::own(wire::encode(samples.replica(i)));
    CHECK(wire::decode_peer_message(bytes).error() == WireError::unknown_message);
    CHECK(wire::decode_client_message(bytes).error() == WireError::unknown_message);
  }
}

TEST_CASE("the numbers that are free are unknown") {
  for (std::uint8_t type = 20; type <= 31; ++type) {
    CHECK(wire::decode_peer_message(SharedBytes::own({0x94, type, 0, 0, 0})).error() == WireError::unknown_message);
  }
}

}  // namespace
}  // namespace pbft::testing
