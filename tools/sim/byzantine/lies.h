// How a Byzantine replica lies, by name. Each kind is a strategy of its own (strategies.h), and counts only where it
// changed what somebody hears.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pbft::sim {

enum class Lie : std::uint8_t {
  equivocate,         // as primary: another batch for a half of the replicas
  wrong_batch,        // as primary: broken proofs, invented bundles, impossible times; and wrong answers to FETCH-BATCH
  starve_client,      // is deaf to one client
  starve_replicas,    // sends nothing to f replicas
  silent,             // says nothing, to all or some, of all or some types
  slow,               // says everything just before the others lose patience
  double_vote,        // PREPARE and COMMIT for one digest here and for another there
  forge_view_change,  // entries of P and Q that never were, or are left out
  stale_view_change,  // an older one of its own, or one with less in it
  bad_new_view,       // leaves out, swaps or adds view-changes; different ones for different replicas
  far_view,           // STATUS and VIEW-CHANGE of views far away; STATUS that suspects any primary
  wrong_checkpoint,   // a root that is not that of the state
  wrong_transfer,     // trees, buckets and ledgers that are changed, cut short or out of date
  wrong_reply,        // results that nothing gave
  replay,             // its own old frames once more
  malformed,          // bytes that are no message, in an envelope that holds
  false_report,       // clients that did nothing wrong
  amnesia,            // comes back from a crash with the disk of long ago
  twins,              // two live copies with one key, each of them a correct core
  count_
};
[[nodiscard]] const char* to_string(Lie lie);
// The lie's name as one word, "wrong-batch": for command lines and JSON.
[[nodiscard]] std::string one_word(Lie lie);

inline constexpr std::size_t lie_count = static_cast<std::size_t>(Lie::count_);
// The first ones are drawn with the plan; what comes behind them has a stream of its own (overlays.h).
inline constexpr std::size_t drawn_lie_count = static_cast<std::size_t>(Lie::twins);
using LieCounts = std::array<std::uint64_t, lie_count>;

}  // namespace pbft::sim
