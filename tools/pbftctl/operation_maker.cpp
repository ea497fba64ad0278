#include "tools/pbftctl/operation_maker.h"

#include <algorithm>
#include <cmath>

namespace pbft::ctl {
namespace {

constexpr double skew = 0.99;

// The sum of 1 / i^skew for i up to n: exactly for the first ones, and by the integral beyond, where it is as good.
double zeta(std::uint64_t n) {
  constexpr std::uint64_t exact = 10'000;
  double sum = 0;
  for (std::uint64_t i = 1; i <= std::min(n, exact); ++i) sum += 1 / std::pow(static_cast<double>(i), skew);
  if (n > exact) {
    const auto antiderivative = [](double x) { return std::pow(x, 1 - skew) / (1 - skew); };
    sum += antiderivative(static_cast<double>(n) + 0.5) - antiderivative(static_cast<double>(exact) + 0.5);
  }
  return sum;
}

// One to one on 64 bits, so that ranks that are near each other become keys that are not (splitmix64).
std::uint64_t scattered(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

void replace(std::string& word, std::string_view place, const std::string& with) {
  for (std::size_t at = word.find(place); at != std::string::npos; at = word.find(place, at + with.size())) {
    word.replace(at, place.size(), with);
  }
}

}  // namespace

KeyPicker::KeyPicker(std::uint64_t keys, Distribution distribution) : keys_(keys), distribution_(distribution) {
  if (distribution != Distribution::zipf) return;
  zeta_ = zeta(keys);
  eta_ = (1 - std::pow(2.0 / static_cast<double>(keys), 1 - skew)) / (1 - zeta(2) / zeta_);
}

std::uint64_t KeyPicker::pick(std::mt19937_64& random) const {
  if (distribution_ == Distribution::uniform || keys_ < 3) return random() % keys_;
  const double u = std::uniform_real_distribution<double>{0, 1}(random);
  const double uz = u * zeta_;
  std::uint64_t rank = 0;
  if (uz >= 1 + std::pow(0.5, skew)) {
    rank = static_cast<std::uint64_t>(static_cast<double>(keys_) * std::pow(eta_ * u - eta_ + 1, 1 / (1 - skew)));
  } else if (uz >= 1) {
    rank = 1;
  }
  return scattered(std::min(rank, keys_ - 1)) % keys_;
}

OperationMaker::OperationMaker(const execution::Plugin& plugin, OperationOptions options)
    : plugin_(plugin),
      options_(std::move(options)),
      picker_(options_.keys, options_.distribution),
      random_(options_.seed) {}

Result<execution::Plugin::Parsed> OperationMaker::next(std::uint64_t number) {
  const bool read = !options_.read_words.empty() && random_() % 100 < options_.reads_percent;
  std::vector<std::string> words = read ? options_.read_words : options_.words;
  for (std::string& word : words) word = filled(std::move(word), number);
  return parse_operation(plugin_, words);
}

std::string OperationMaker::filled(std::string word, std::uint64_t number) {
  if (word.find('{') == std::string::npos) return word;
  replace(word, "{i}", std::to_string(number));
  if (word.find("{key}") != std::string::npos) replace(word, "{key}", std::to_string(picker_.pick(random_)));
  if (word.find("{value}") != std::string::npos) replace(word, "{value}", value());
  return word;
}

std::string OperationMaker::value() {
  static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  constexpr unsigned per_draw = 10;
  std::string text(options_.value_bytes, '\0');
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i, bits >>= 6) {
    if (i % per_draw == 0) bits = random_();
    text[i] = alphabet[bits & 63];
  }
  return text;
}

}  // namespace pbft::ctl
