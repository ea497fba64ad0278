// The words of an operation.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace pbft::ctl {

// Splits a line at white space. "..." and '...' keep white space; a backslash takes the next character as it is
// (not inside '...'). A # where a word would begin ends the line.
[[nodiscard]] tl::expected<std::vector<std::string>, std::string> split_words(const std::string& line);

}  // namespace pbft::ctl
