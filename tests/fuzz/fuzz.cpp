#include "tests/fuzz/fuzz.h"

#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace pbft::fuzz {
namespace {

std::size_t allocated = 0;

void on_malloc(const volatile void*, std::size_t size) {
  allocated += size;
}
void on_free(const volatile void*) {}

}  // namespace

void violated(const std::string& what) {
  std::cerr << "VIOLATED: " << what << std::endl;
  std::abort();
}

BytesView Input::take(std::size_t size) {
  const BytesView taken = rest_.first(std::min(size, rest_.size()));
  rest_ = rest_.subspan(taken.size());
  return taken;
}

std::uint8_t Input::byte() {
  const BytesView taken = take(1);
  return taken.empty() ? 0 : taken[0];
}

std::uint64_t Input::number(std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{byte()} << (8 * i);
  return value;
}

std::size_t Input::below(std::size_t bound) {
  return number(bound > 256 ? 2 : 1) % bound;
}

Bytes Input::bytes() {
  const BytesView taken = take(byte());
  return {taken.begin(), taken.end()};
}

std::string Input::text() {
  const BytesView taken = take(byte());
  return std::string{as_text(taken)};
}

std::uint64_t Input::value() {
  static constexpr std::uint64_t edges[] = {0x7f,     0x80,        0xff,          0x100,          0xffff,
                                            0x1'0000, 0xffff'ffff, 0x1'0000'0000, UINT64_MAX - 1, UINT64_MAX};
  const std::uint8_t kind = byte();
  if (kind < 0xe0) return kind % 32;
  if (kind < 0xf8) return edges[kind % std::size(edges)];
  return number(8);
}

Measured::Measured() : start_(allocated) {
  static const bool installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0;
  holds(installed, "the heap can be measured");
}

std::size_t Measured::bytes() const {
  return allocated - start_;
}

std::filesystem::path scratch_parent() {
  const std::filesystem::path memory = "/dev/shm";
  std::error_code ignored;
  return std::filesystem::is_directory(memory, ignored) ? memory : std::filesystem::temp_directory_path();
}

namespace {

int write_seeds(const std::string& directory) {
  std::filesystem::create_directories(directory);
  int number = 0;
  for (const Bytes& seed : seeds()) {
    char name[32];
    std::snprintf(name, sizeof name, "/seed-%02d", number++);
    std::ofstream file{directory + name, std::ios::binary};
    file << as_text(seed);
    if (!file.flush()) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace pbft::fuzz

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  if (*count == 3 && std::string_view{(*arguments)[1]} == "--seeds") {
    std::_Exit(pbft::fuzz::write_seeds((*arguments)[2]));
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pbft::fuzz::run({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  pbft::Bytes bytes{data, data + size};
  if (seed % 2 == 0 || !pbft::fuzz::mutate(bytes, seed / 2) || bytes.size() > max_size) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}
