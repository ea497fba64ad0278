#include "node/execution/result_budget.h"

namespace pbft::execution {
namespace {

std::string refusal(const char* where, std::size_t size, std::size_t others, std::size_t limit, const char* advice) {
  return std::string("too many large results ") + where + ": this one has " + std::to_string(size) +
         " bytes, others have " + std::to_string(others) + ", at most " + std::to_string(limit) +
         " are allowed together; " + advice;
}

}  // namespace

std::optional<std::string> ResultBudget::take(std::size_t size, std::size_t kept) {
  if (!is_large(size)) return std::nullopt;
  if (kept + size > session_bytes) {
    return refusal("wait to be confirmed in this session", size, kept, session_bytes, "send fewer at once");
  }
  if (taken_ + size > batch_bytes) {
    return refusal("were asked for by all clients at one time", size, taken_, batch_bytes, "try again, fewer at once");
  }
  taken_ += size;
  return std::nullopt;
}

}  // namespace pbft::execution
