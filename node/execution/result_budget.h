// How many bytes of results may wait in a session's cache and in all of them, and how many one batch may make.
// Constants of the protocol: what goes beyond them is a failed or a forgotten result, and all replicas must come to the
// same one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "node/pbft/messages.h"

namespace pbft::execution {

// The budget of the results of one batch. A result is judged when it is there, by what the batch made before it and by
// what its session keeps: ordered state only, so the verdict is the same on every replica.
//
// A large result (more than small_bytes) is refused where it and the other large results
// - that its session keeps at this point would exceed session_bytes together, or
// - that this batch made before it would exceed batch_bytes together.
// So a session that keeps no other large result gets any that the limits of results allow, whatever small ones it
// keeps: a client that confirms each result before it asks for the next is never refused on its session's account. A
// small result is never refused and never counted. It costs about what the record of any request costs, and without
// this a refusal, which is kept as a result too, would need room that is not there.
//
// Hence the results that one session keeps have at most session_bytes + session_window * small_bytes. Nothing is
// refused for what other sessions keep: where all together keep more than table_bytes of large results, ReplyCache
// forgets some.
class ResultBudget {
 public:
  static constexpr std::size_t small_bytes = 256;
  static constexpr std::size_t session_bytes = Limits::max_result_bytes;
  static constexpr std::size_t batch_bytes = 16 * Limits::max_result_bytes;
  static constexpr std::size_t table_bytes = 256 * Limits::max_result_bytes;

  // The largest session_window that a genesis may have. It bounds what every batch that touches a session writes anew,
  // its record, and what results may wait in it that are not counted. A record, or a result that has its own, that is
  // larger than a value may be is transferred to nobody.
  static constexpr std::uint64_t largest_session_window = 16'384;

  [[nodiscard]] static bool is_large(std::size_t size) { return size > small_bytes; }

  // Counts a result of `size` bytes whose session keeps `kept` bytes of other large results. Where it is refused:
  // nothing is counted, and the text is the failed result to have instead, which is a small one.
  [[nodiscard]] std::optional<std::string> take(std::size_t size, std::size_t kept);

 private:
  std::size_t taken_ = 0;  // Invariant: at most batch_bytes.
};

}  // namespace pbft::execution
