#include "node/execution/result_budget.h"

#include "storage/client_records.h"

namespace pbft::execution {
namespace {

// What the record of a session has beside its results, in all and for each (storage/client_records.h), rounded up.
constexpr std::size_t record_bytes = 32;
constexpr std::size_t reply_bytes = 16;
static_assert(record_bytes + ResultBudget::largest_session_window * (reply_bytes + storage::inline_result_bytes) <=
              Limits::max_value_bytes);
static_assert(Limits::max_result_bytes <= Limits::max_value_bytes);
static_assert(storage::inline_result_bytes <= ResultBudget::small_bytes, "what is counted has its own record");

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
