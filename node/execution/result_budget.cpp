#include "node/execution/result_budget.h"

namespace pbft::execution {
namespace {

std::string refusal(const char* where, std::size_t size, std::size_t others, std::size_t limit,
                    const std::string& advice) {
  return std::string("too many large results ") + where + ": this one has " + std::to_string(size) +
         " bytes, others have " + std::to_string(others) + ", at most " + std::to_string(limit) +
         " are allowed together; " + advice;
}

}  // namespace

std::optional<std::string> ResultBudget::take(std::size_t size, const Kept& kept) {
  if (!is_large(size)) return std::nullopt;
  if (kept.session + size > session_bytes) {
    return refusal("wait to be confirmed in this session", size, kept.session, session_bytes, "send fewer at once");
  }
  const std::size_t share = table_.share_bytes();
  if (kept.session + size > share && kept.table + size > table_.bytes) {
    return refusal("wait to be confirmed in all sessions", size, kept.table, table_.bytes,
                   "confirm results: up to " + std::to_string(share) + " bytes in a session always find room");
  }
  if (taken_ + size > batch_bytes) {
    return refusal("were asked for by all clients at one time", size, taken_, batch_bytes, "try again, fewer at once");
  }
  taken_ += size;
  return std::nullopt;
}

}  // namespace pbft::execution
