// Every decoder of node/wire, on bytes as they come: one message has one encoding, and decoding costs memory in
// proportion to the bytes.
// Input: which form, and the bytes.
#include "tests/fuzz/msgpack_tree.h"
#include "tests/wire/forms.h"

namespace pbft::fuzz {
namespace {

// A bundle, a request, a vote and a pair in memory are larger than their shortest encodings by less than this.
constexpr std::size_t bytes_per_byte = 100;
constexpr std::size_t bytes_for_any = 16'384;

const std::vector<testing::Form>& forms() {
  static const std::vector<testing::Form> all = testing::every_form(1);
  return all;
}

Bytes with_form(std::size_t form, const Bytes& bytes) {
  Bytes input{static_cast<std::uint8_t>(form)};
  input.insert(input.end(), bytes.begin(), bytes.end());
  return input;
}

}  // namespace

void run(BytesView input) {
  if (input.empty()) return;
  const testing::Form& form = forms()[input[0] % forms().size()];
  const SharedBytes bytes = SharedBytes::copy_of(input.subspan(1));
  const Measured measured;
  const auto again = form.reencode(bytes);
  if (measured.bytes() > bytes_for_any + bytes_per_byte * bytes.size()) {
    violated(form.name + ": " + std::to_string(bytes.size()) + " bytes cost " + std::to_string(measured.bytes()));
  }
  if (again && SharedBytes::copy_of(*again) != bytes) violated(form.name + " decodes from what is not its encoding");
}

// The smallest of several samples of each form.
Seeds seeds() {
  Seeds made;
  for (std::size_t form = 0; form < forms().size(); ++form) {
    Bytes smallest = forms()[form].bytes;
    for (std::uint64_t seed = 2; seed < 60; ++seed) {
      Bytes bytes = testing::every_form(seed)[form].bytes;
      if (bytes.size() < smallest.size()) smallest = std::move(bytes);
    }
    made.push_back(with_form(form, smallest));
  }
  return made;
}

// A sample that was not there yet, or a change of the tree.
bool mutate(Bytes& input, std::uint64_t seed) {
  if (input.empty()) input.push_back(0);
  const std::size_t form = input[0] % forms().size();
  if (seed % 16 == 0) {
    input = with_form(form, testing::every_form(seed)[form].bytes);
    return true;
  }
  const Bytes choices = testing::Samples{seed}.bytes(64);
  Input script{choices};
  input = with_form(form, changed_often({input.begin() + 1, input.end()}, script, 3));
  return true;
}

}  // namespace pbft::fuzz
