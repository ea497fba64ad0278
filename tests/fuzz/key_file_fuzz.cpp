// Secret key files: what loads is saved again as the same key; everything else is refused with the name of the file.
// Input: the file.
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "node/crypto/keys.h"
#include "tests/fuzz/fuzz.h"
#include "tests/temporary_directory.h"

namespace pbft::fuzz {
namespace {

std::string content_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream{file, std::ios::binary}.rdbuf();
  return text.str();
}

// The one form that a key is saved in.
std::string saved_form(std::string text) {
  const std::size_t second_line = std::min(text.find('\n'), text.size());
  for (std::size_t i = second_line; i < text.size(); ++i) {
    text[i] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
  }
  return text.ends_with('\n') ? text : text + '\n';
}

}  // namespace

void run(BytesView input) {
  static const testing::TemporaryDirectory scratch{scratch_parent()};
  const std::string file = scratch.write("given.key", std::string{as_text(input)}).string();
  using std::filesystem::perms;
  std::filesystem::permissions(file, perms::owner_read | perms::owner_write);  // others must not read a key
  const auto loaded = crypto::Identity::load(file);
  if (!loaded) {
    holds(loaded.error().find(file) != std::string::npos, "an error names the file");
    return;
  }
  const std::string again = (scratch / "again.key").string();
  std::filesystem::remove(again);
  holds(loaded->save(again).has_value(), "what loads can be saved");
  holds(content_of(again) == saved_form(std::string{as_text(input)}), "what loads is the form that is saved");
  const auto second = crypto::Identity::load(again);
  holds(second && second->secret_key() == loaded->secret_key(), "what is saved loads as the same key");
}

Seeds seeds() {
  const testing::TemporaryDirectory scratch{scratch_parent()};
  const std::string file = (scratch / "made.key").string();
  static_cast<void>(crypto::Identity::from_seed({1, 2, 3}).save(file));
  const std::string right = content_of(file);
  std::string upper = right;
  for (std::size_t i = right.find('\n'); i < upper.size(); ++i) {
    upper[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(upper[i])));
  }
  return {to_bytes(right), to_bytes(upper), to_bytes(right.substr(0, right.size() - 1)), to_bytes(right + "x")};
}

}  // namespace pbft::fuzz
