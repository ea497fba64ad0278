// How many bytes of results may wait in a session's cache and in those of all sessions together, and how many one batch
// may make. Constants of the protocol: what goes beyond them is a failed result, and all replicas must come to the same
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "node/pbft/messages.h"

namespace pbft::execution {

// The budget of the results of one batch. A result is judged when it is there, by what the batch made before it and by
// what the client table keeps: ordered state only, so the verdict is the same on every replica.
//
// A large result (more than small_bytes) is refused where it and the other large results
// - that its session keeps at this point would exceed session_bytes together, or
// - that all sessions keep at this point would exceed table_bytes together, and those of its own session their share of
//   that, or
// - that this batch made before it would exceed batch_bytes together.
// So a session that keeps no other large result gets any that the limits of results allow, whatever small ones it
// keeps, as long as the table has room: a client that confirms each result before it asks for the next is never refused
// on its session's account. Its share is never taken from it, whatever others leave unconfirmed. A small result is
// never refused and never counted. It costs about what the record of any request costs, and without this a refusal,
// which is kept as a result too, would need room that is not there.
//
// Hence the results that one session keeps have at most session_bytes + session_window * small_bytes; and the large
// ones that all sessions keep at the end of a batch at most 2 * table_bytes: those that came while there was room, and
// the shares.
class ResultBudget {
 public:
  static constexpr std::size_t small_bytes = 256;
  static constexpr std::size_t session_bytes = Limits::max_result_bytes;
  static constexpr std::size_t batch_bytes = 16 * Limits::max_result_bytes;
  static constexpr std::size_t table_bytes = 256 * Limits::max_result_bytes;

  // What all sessions may keep together.
  struct Table {
    std::uint64_t max_sessions;       // of the genesis, at least 1
    std::size_t bytes = table_bytes;  // tests have tables that are full sooner
    [[nodiscard]] std::size_t share_bytes() const { return static_cast<std::size_t>(bytes / max_sessions); }
  };
  // Bytes of the large results that are kept already: by the result's session, and by all sessions.
  struct Kept {
    std::size_t session = 0;
    std::size_t table = 0;
  };

  explicit ResultBudget(const Table& table) : table_(table) {}

  [[nodiscard]] static bool is_large(std::size_t size) { return size > small_bytes; }

  // Counts a result of `size` bytes beside which others are kept. Where it is refused: nothing is counted, and the text
  // is the failed result to have instead, which is a small one.
  [[nodiscard]] std::optional<std::string> take(std::size_t size, const Kept& kept);

 private:
  Table table_;
  std::size_t taken_ = 0;  // Invariant: at most batch_bytes.
};

}  // namespace pbft::execution
