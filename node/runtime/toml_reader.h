// Reads TOML strictly: every problem is collected as "FILE:LINE: KEY: what is wrong, what is allowed", and a key that
// nobody asked for is a problem too. Values of the wrong kind come back as the default, so that one pass over a file
// finds all its problems. One thread.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace pbft::runtime {

struct TomlProblems {
  std::string file;
  std::vector<std::string> lines;
};

// A table of the file. Refers into its TomlFile, which must outlive it.
class TomlSection {
 public:
  TomlSection(const toml::table* table, std::string path, std::uint32_t line, TomlProblems* problems);

  [[nodiscard]] bool has(std::string_view key) const;
  // Required, and not empty.
  [[nodiscard]] std::string text(std::string_view key);
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise);
  // One of `allowed`.
  [[nodiscard]] std::string choice_or(std::string_view key, std::string_view otherwise,
                                      const std::vector<std::string_view>& allowed);
  [[nodiscard]] bool boolean_or(std::string_view key, bool otherwise);
  // A whole number in [least, most].
  [[nodiscard]] std::uint64_t number(std::string_view key, std::uint64_t least, std::uint64_t most);
  [[nodiscard]] std::uint64_t number_or(std::string_view key, std::uint64_t otherwise, std::uint64_t least,
                                        std::uint64_t most);
  [[nodiscard]] std::vector<std::string> texts(std::string_view key);
  // [key]; absent: a section without keys.
  [[nodiscard]] TomlSection section(std::string_view key);
  // [[key]]; absent: none.
  [[nodiscard]] std::vector<TomlSection> sections(std::string_view key);

  // Adds a problem at the line of the key, or of the section where the key is not there.
  void problem(std::string_view key, std::string_view what) const;
  // Adds a problem for every key that was not asked for by now.
  void finish() const;

 private:
  [[nodiscard]] const toml::node* find(std::string_view key);

  const toml::table* table_;  // never null
  std::string path_;          // "parameters.", "" at the top
  std::uint32_t line_;
  TomlProblems* problems_;
  std::vector<std::string> known_;
};

class TomlFile {
 public:
  // The error says what cannot be read or parsed, and where.
  [[nodiscard]] static tl::expected<TomlFile, std::string> open(const std::filesystem::path& file);

  [[nodiscard]] TomlSection root();
  // All problems found so far, one a line; nothing: none.
  [[nodiscard]] tl::expected<void, std::string> verdict() const;

 private:
  std::unique_ptr<toml::table> table_;
  std::unique_ptr<TomlProblems> problems_;
};

// The text as a TOML basic string, in quotes.
[[nodiscard]] std::string toml_quote(std::string_view text);

// The one of `candidates` that `word` is most likely a misspelling of; empty: none is near.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace pbft::runtime
