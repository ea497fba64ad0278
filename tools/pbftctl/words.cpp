#include "tools/pbftctl/words.h"

#include <cctype>

namespace pbft::ctl {

tl::expected<std::vector<std::string>, std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;  // of a word, which may be empty: ""
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && quote != '\'') {
      if (++i == line.size()) {
        return tl::unexpected(std::string{"the line ends after a backslash"});
      }
      word += line[i];
      inside = true;
    } else if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      inside = true;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      if (inside) {
        words.push_back(std::move(word));
        word.clear();
        inside = false;
      }
    } else if (c == '#' && !inside) {
      break;
    } else {
      word += c;
      inside = true;
    }
  }
  if (quote != '\0') {
    return tl::unexpected(std::string{"a quotation mark is not closed: "} + quote);
  }
  if (inside) {
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace pbft::ctl
