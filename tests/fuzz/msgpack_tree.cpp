#include "tests/fuzz/msgpack_tree.h"

#include <utility>

namespace pbft::fuzz {
namespace {

using Kind = MsgpackTree::Kind;
constexpr int max_depth = 8;

// Reads without trust; `at` is behind what was read.
class Parser {
 public:
  explicit Parser(BytesView bytes) : bytes_(bytes) {}

  std::optional<MsgpackTree> value(int depth) {
    if (at_ >= bytes_.size() || depth > max_depth) return std::nullopt;
    const std::uint8_t head = bytes_[at_++];
    MsgpackTree made;
    made.kind = Kind::uint;
    if (head < 0x80) {
      made.number = head;
      return made;
    }
    if (head == 0xc0) return MsgpackTree{};
    if (head >= 0xcc && head <= 0xcf) {
      const auto number = argument(std::size_t{1} << (head - 0xcc));
      if (!number) return std::nullopt;
      made.number = *number;
      return made;
    }
    if (head >= 0xc4 && head <= 0xc6) return bin(argument(std::size_t{1} << (head - 0xc4)));
    if (head >= 0x90 && head <= 0x9f) return array(head & 0x0f, depth);
    if (head == 0xdc || head == 0xdd) return array(argument(head == 0xdc ? 2 : 4), depth);
    return std::nullopt;
  }
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::optional<std::uint64_t> argument(std::size_t width) {
    if (bytes_.size() - at_ < width) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) value = value << 8 | bytes_[at_++];
    return value;
  }
  std::optional<MsgpackTree> bin(std::optional<std::uint64_t> size) {
    if (!size || *size > bytes_.size() - at_) return std::nullopt;
    MsgpackTree made;
    made.kind = Kind::bin;
    const BytesView content = bytes_.subspan(at_, static_cast<std::size_t>(*size));
    made.bin.assign(content.begin(), content.end());
    at_ += content.size();
    return made;
  }
  std::optional<MsgpackTree> array(std::optional<std::uint64_t> count, int depth) {
    if (!count || *count > bytes_.size() - at_) return std::nullopt;
    MsgpackTree made;
    made.kind = Kind::array;
    for (std::uint64_t i = 0; i < *count; ++i) {
      auto element = value(depth + 1);
      if (!element) return std::nullopt;
      made.elements.push_back(std::move(*element));
    }
    return made;
  }

  BytesView bytes_;
  std::size_t at_ = 0;
};

void append(Bytes& bytes, std::uint8_t head, std::uint64_t value, std::size_t width) {
  bytes.push_back(head);
  for (std::size_t i = width; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void append_size(Bytes& bytes, std::size_t size, std::uint8_t head, std::size_t narrowest) {
  const std::size_t width = size <= 0xff && narrowest == 1 ? 1 : size <= 0xffff ? 2 : 4;
  append(bytes, static_cast<std::uint8_t>(head + (width == 4 ? 1 : 0) + (width >= 2 && narrowest == 1 ? 1 : 0)), size,
         width);
}

void append_uint(Bytes& bytes, std::uint64_t number) {
  if (number < 0x80) {
    bytes.push_back(static_cast<std::uint8_t>(number));
  } else if (number <= 0xff) {
    append(bytes, 0xcc, number, 1);
  } else if (number <= 0xffff) {
    append(bytes, 0xcd, number, 2);
  } else if (number <= 0xffff'ffff) {
    append(bytes, 0xce, number, 4);
  } else {
    append(bytes, 0xcf, number, 8);
  }
}

void write_to(Bytes& bytes, const MsgpackTree& tree) {
  switch (tree.kind) {
    case Kind::nil:
      bytes.push_back(0xc0);
      break;
    case Kind::uint:
      append_uint(bytes, tree.number);
      break;
    case Kind::bin:
      append_size(bytes, tree.bin.size(), 0xc4, 1);
      bytes.insert(bytes.end(), tree.bin.begin(), tree.bin.end());
      break;
    case Kind::array:
      if (tree.elements.size() < 16) {
        bytes.push_back(static_cast<std::uint8_t>(0x90 + tree.elements.size()));
      } else {
        append_size(bytes, tree.elements.size(), 0xdc, 2);
      }
      for (const MsgpackTree& element : tree.elements) write_to(bytes, element);
      break;
  }
}

void change_bytes(Bytes& bytes, Input& input) {
  const std::size_t at = input.below(bytes.size() + 1);
  const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (input.below(4)) {
    case 0:
      if (at < bytes.size()) *place = static_cast<std::uint8_t>(*place ^ (1U << input.below(8)));
      break;
    case 1:
      if (at < bytes.size()) *place = input.byte();
      break;
    case 2:
      bytes.resize(at);
      break;
    default: {
      const Bytes more = input.bytes();
      bytes.insert(place, more.begin(), more.end());
    }
  }
}

void change_elements(std::vector<MsgpackTree>& elements, Input& input) {
  const std::size_t at = input.below(elements.size());
  const std::size_t other = input.below(elements.size());
  switch (input.below(4)) {
    case 0:
      elements.erase(elements.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1: {
      MsgpackTree copy = elements[at];
      elements.insert(elements.begin() + static_cast<std::ptrdiff_t>(other), std::move(copy));
      break;
    }
    case 2:
      std::swap(elements[at], elements[other]);
      break;
    default: {
      MsgpackTree copy = elements[other];
      elements[at] = std::move(copy);
    }
  }
}

// Walks down from the root; each step says whether the change is here or further down.
void change(MsgpackTree& tree, Input& input) {
  switch (tree.kind) {
    case Kind::uint:
      tree.number = input.flag() ? input.value() : tree.number + input.byte() - 8;
      break;
    case Kind::nil:
      tree.kind = input.flag() ? Kind::uint : Kind::array;
      break;
    case Kind::bin:
      tree.bin = changed(tree.bin, input);
      break;
    case Kind::array:
      if (tree.elements.empty()) {
        tree.elements.emplace_back();
      } else if (input.below(3) == 0) {
        change_elements(tree.elements, input);
      } else {
        change(tree.elements[input.below(tree.elements.size())], input);
      }
  }
}

}  // namespace

std::optional<MsgpackTree> MsgpackTree::parse(BytesView bytes) {
  Parser parser{bytes};
  auto tree = parser.value(0);
  if (!tree || !parser.at_end()) return std::nullopt;
  return tree;
}

Bytes MsgpackTree::write() const {
  Bytes bytes;
  write_to(bytes, *this);
  return bytes;
}

Bytes changed(BytesView bytes, Input& input) {
  auto tree = MsgpackTree::parse(bytes);
  if (tree && tree->kind == Kind::array && input.below(4) != 0) {
    change(*tree, input);
    return tree->write();
  }
  Bytes copy{bytes.begin(), bytes.end()};
  change_bytes(copy, input);
  return copy;
}

Bytes changed_often(Bytes bytes, Input& input, std::size_t most) {
  for (std::size_t left = input.below(most + 1); left > 0 && !input.empty(); --left) bytes = changed(bytes, input);
  return bytes;
}

}  // namespace pbft::fuzz
