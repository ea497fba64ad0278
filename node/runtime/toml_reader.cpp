#include "node/runtime/toml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace pbft::runtime {

namespace {

std::string kind_of(const toml::node& node) {
  if (node.is_string()) return "a string";
  if (node.is_integer()) return "a whole number";
  if (node.is_floating_point()) return "a number with a fraction";
  if (node.is_boolean()) return "true or false";
  if (node.is_table()) return "a table";
  if (node.is_array()) return "an array";
  return "a date or a time";
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string toml_quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          quoted += c;
        }
    }
  }
  return quoted + "\"";
}

TomlSection::TomlSection(const toml::table* table, std::string path, std::uint32_t line, TomlProblems* problems)
    : table_(table), path_(std::move(path)), line_(line), problems_(problems) {}

bool TomlSection::has(std::string_view key) const {
  return table_->contains(key);
}

const toml::node* TomlSection::find(std::string_view key) {
  known_.emplace_back(key);
  return table_->get(key);
}

void TomlSection::problem(std::string_view key, std::string_view what) const {
  std::uint32_t line = line_;
  if (const toml::node* node = table_->get(key)) line = node->source().begin.line;
  problems_->lines.push_back(fmt::format("{}:{}: {}{}: {}", problems_->file, line, path_, key, what));
}

std::string TomlSection::text(std::string_view key) {
  if (!has(key)) {
    known_.emplace_back(key);
    problem(key, "is missing; a string is needed here");
    return {};
  }
  std::string value = text_or(key, "");
  if (value.empty() && table_->get(key)->is_string()) problem(key, "must not be empty");
  return value;
}

std::string TomlSection::text_or(std::string_view key, std::string_view otherwise) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::string{otherwise};
  if (const auto* value = node->as_string()) return value->get();
  problem(key, fmt::format("is {}; must be a string in quotes", kind_of(*node)));
  return std::string{otherwise};
}

std::string TomlSection::choice_or(std::string_view key, std::string_view otherwise,
                                   const std::vector<std::string_view>& allowed) {
  const std::size_t before = problems_->lines.size();
  const std::string value = text_or(key, otherwise);
  if (problems_->lines.size() != before || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
    return value;
  }
  problem(key, fmt::format("is \"{}\"; must be one of \"{}\"", value, fmt::join(allowed, "\", \"")));
  return std::string{otherwise};
}

bool TomlSection::boolean_or(std::string_view key, bool otherwise) {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  if (const auto* value = node->as_boolean()) return value->get();
  problem(key, fmt::format("is {}; must be true or false, without quotes", kind_of(*node)));
  return otherwise;
}

std::uint64_t TomlSection::number(std::string_view key, std::uint64_t least, std::uint64_t most) {
  if (!has(key)) {
    known_.emplace_back(key);
    problem(key, fmt::format("is missing; a whole number from {} to {} is needed here", least, most));
    return least;
  }
  return number_or(key, least, least, most);
}

std::uint64_t TomlSection::number_or(std::string_view key, std::uint64_t otherwise, std::uint64_t least,
                                     std::uint64_t most) {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    problem(key, fmt::format("is {}; must be a whole number from {} to {}", kind_of(*node), least, most));
    return otherwise;
  }
  const std::int64_t number = value->get();
  if (number < 0 || static_cast<std::uint64_t>(number) < least || static_cast<std::uint64_t>(number) > most) {
    problem(key, fmt::format("is {}; must be a whole number from {} to {}", number, least, most));
    return otherwise;
  }
  return static_cast<std::uint64_t>(number);
}

std::vector<std::string> TomlSection::texts(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    problem(key, fmt::format("is {}; must be an array of strings", kind_of(*node)));
    return {};
  }
  std::vector<std::string> values;
  for (const toml::node& element : *array) {
    if (const auto* value = element.as_string()) {
      values.push_back(value->get());
    } else {
      problem(key, fmt::format("element {} is {}; must be a string in quotes", values.size() + 1, kind_of(element)));
      return values;
    }
  }
  return values;
}

TomlSection TomlSection::section(std::string_view key) {
  static const toml::table empty;
  const std::string path = fmt::format("{}{}.", path_, key);
  const toml::node* node = find(key);
  if (node == nullptr) return {&empty, path, line_, problems_};
  if (const toml::table* table = node->as_table()) return {table, path, node->source().begin.line, problems_};
  problem(key, fmt::format("is {}; must be a table: [{}{}]", kind_of(*node), path_, key));
  return {&empty, path, node->source().begin.line, problems_};
}

std::vector<TomlSection> TomlSection::sections(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr || !array->is_array_of_tables()) {
    problem(key, fmt::format("is {}; must be a list of tables: [[{}{}]]", kind_of(*node), path_, key));
    return {};
  }
  std::vector<TomlSection> sections;
  for (const toml::node& element : *array) {
    sections.emplace_back(element.as_table(), fmt::format("{}{}[{}].", path_, key, sections.size()),
                          element.source().begin.line, problems_);
  }
  return sections;
}

void TomlSection::finish() const {
  for (const auto& [name, node] : *table_) {
    const std::string key{name.str()};
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string near = nearest(key, known_);
    problem(key, near.empty() ? fmt::format("is unknown here; allowed: {}", fmt::join(known_, ", "))
                              : fmt::format("is unknown here; did you mean {}?", near));
  }
}

tl::expected<TomlFile, std::string> TomlFile::open(const std::filesystem::path& file) {
  std::ifstream stream{file, std::ios::binary};
  std::ostringstream content;
  if (!stream || !(content << stream.rdbuf())) {
    return tl::unexpected(
        fmt::format("{}: cannot be read: is it there, and a readable, non-empty file?", file.string()));
  }
  TomlFile opened;
  opened.problems_ = std::make_unique<TomlProblems>();
  opened.problems_->file = file.string();
  try {
    opened.table_ = std::make_unique<toml::table>(toml::parse(content.str(), file.string()));
  } catch (const toml::parse_error& error) {
    return tl::unexpected(
        fmt::format("{}:{}: is not valid TOML: {}", file.string(), error.source().begin.line, error.description()));
  }
  return opened;
}

TomlSection TomlFile::root() {
  return {table_.get(), "", 1, problems_.get()};
}

tl::expected<void, std::string> TomlFile::verdict() const {
  if (problems_->lines.empty()) return {};
  return tl::unexpected(fmt::format("{}", fmt::join(problems_->lines, "\n")));
}

}  // namespace pbft::runtime
