#include "tests/pbft/transcript.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using pbft::testing::Transcript;

namespace {

std::string read(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>(in), {}};
}

// The first line that differs, for a message that says where to look.
std::string first_difference(const std::string& is, const std::string& should) {
  std::istringstream a{is};
  std::istringstream b{should};
  std::string line_a;
  std::string line_b;
  for (int line = 1;; ++line) {
    const bool more_a = static_cast<bool>(std::getline(a, line_a));
    const bool more_b = static_cast<bool>(std::getline(b, line_b));
    if (!more_a && !more_b) return "";
    if (more_a != more_b || line_a != line_b) {
      return "line " + std::to_string(line) + "\n  recorded: " + line_b + "\n  now:      " + line_a;
    }
  }
}

}  // namespace

TEST_CASE("the protocol's stories go as they are told in tests/testdata") {
  int stories = 0;
  for (const auto& entry : std::filesystem::directory_iterator{PBFT_TESTDATA}) {
    if (entry.path().extension() != ".txt") continue;
    ++stories;
    CAPTURE(entry.path().string());
    const std::string recorded = read(entry.path());
    const std::string now = Transcript{}.rerun(recorded);
    if (std::getenv("PBFT_UPDATE_TRANSCRIPTS") != nullptr) {
      std::ofstream{entry.path()} << now;
    } else {
      CHECK(first_difference(now, recorded) == "");
    }
  }
  CHECK(stories >= 6);
}
