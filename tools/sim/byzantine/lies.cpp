#include "tools/sim/byzantine/lies.h"

#include <algorithm>

namespace pbft::sim {

const char* to_string(Lie lie) {
  switch (lie) {
    case Lie::equivocate:
      return "equivocating primary";
    case Lie::wrong_batch:
      return "wrong batch";
    case Lie::starve_client:
      return "starved client";
    case Lie::starve_replicas:
      return "starved replicas";
    case Lie::silent:
      return "silence";
    case Lie::slow:
      return "slow on purpose";
    case Lie::double_vote:
      return "double vote";
    case Lie::forge_view_change:
      return "forged view-change";
    case Lie::stale_view_change:
      return "stale view-change";
    case Lie::bad_new_view:
      return "bad new-view";
    case Lie::far_view:
      return "far view";
    case Lie::wrong_checkpoint:
      return "wrong checkpoint";
    case Lie::wrong_transfer:
      return "wrong transfer";
    case Lie::wrong_reply:
      return "wrong reply";
    case Lie::replay:
      return "replay";
    case Lie::malformed:
      return "malformed bytes";
    case Lie::false_report:
      return "false report";
    case Lie::amnesia:
      return "amnesia";
    case Lie::twins:
      return "twins";
    case Lie::count_:
      break;
  }
  return "?";
}

std::string one_word(Lie lie) {
  std::string word = to_string(lie);
  std::replace(word.begin(), word.end(), ' ', '-');
  return word;
}

}  // namespace pbft::sim
