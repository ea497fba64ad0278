#include "node/wire/reader.h"

namespace pbft::wire {

std::uint8_t Reader::byte() {
  if (!ok()) return 0;
  if (remaining() == 0) {
    fail(WireError::truncated);
    return 0;
  }
  return bytes_[position_++];
}

std::uint64_t Reader::big_endian(std::size_t width, std::uint64_t least) {
  if (!ok()) return 0;
  if (remaining() < width) {
    fail(WireError::truncated);
    return 0;
  }
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = (value << 8) | bytes_[position_ + i];
  position_ += width;
  if (value < least) {
    fail(WireError::not_minimal);
    return 0;
  }
  return value;
}

std::uint64_t Reader::uint(std::uint64_t max) {
  const std::uint8_t head = byte();
  std::uint64_t value = 0;
  if (head < 0x80) {
    value = head;
  } else if (head == 0xcc) {
    value = big_endian(1, 0x80);
  } else if (head == 0xcd) {
    value = big_endian(2, 0x100);
  } else if (head == 0xce) {
    value = big_endian(4, 0x1'0000);
  } else if (head == 0xcf) {
    value = big_endian(8, 0x1'0000'0000);
  } else {
    fail(WireError::wrong_type);
  }
  require(value <= max, WireError::out_of_range);
  return ok() ? value : 0;
}

std::size_t Reader::array(std::size_t min, std::size_t max, std::size_t element_bytes) {
  const std::uint8_t head = byte();
  std::uint64_t count = 0;
  if (head >= 0x90 && head <= 0x9f) {
    count = head & 0x0f;
  } else if (head == 0xdc) {
    count = big_endian(2, 16);
  } else if (head == 0xdd) {
    count = big_endian(4, 0x1'0000);
  } else {
    fail(WireError::wrong_type);
  }
  require(count <= max, WireError::out_of_range);
  require(count >= min, WireError::not_canonical);
  require(count <= remaining() / element_bytes, WireError::truncated);
  return ok() ? static_cast<std::size_t>(count) : 0;
}

void Reader::array_of(std::size_t elements) {
  const std::size_t count = array(0, UINT32_MAX);
  require(count == elements, WireError::wrong_arity);
}

BytesView Reader::bin_view(std::size_t min, std::size_t max) {
  const std::uint8_t head = byte();
  std::uint64_t length = 0;
  if (head == 0xc4) {
    length = big_endian(1, 0);
  } else if (head == 0xc5) {
    length = big_endian(2, 0x100);
  } else if (head == 0xc6) {
    length = big_endian(4, 0x1'0000);
  } else {
    fail(WireError::wrong_type);
  }
  require(length >= min && length <= max, WireError::out_of_range);
  require(length <= remaining(), WireError::truncated);
  if (!ok()) return {};
  const BytesView view = bytes_.subspan(position_, static_cast<std::size_t>(length));
  position_ += view.size();
  return view;
}

SharedBytes Reader::bin(std::size_t max) {
  const BytesView view = bin_view(0, max);
  if (!ok()) return {};
  return input_.slice(position_ - view.size(), view.size());
}

bool Reader::next_is_nil() {
  if (!ok() || remaining() == 0 || bytes_[position_] != 0xc0) return false;
  ++position_;
  return true;
}

bool Reader::next_is_bin() const {
  return ok() && remaining() > 0 && bytes_[position_] >= 0xc4 && bytes_[position_] <= 0xc6;
}

}  // namespace pbft::wire
