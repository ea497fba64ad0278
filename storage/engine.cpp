#include "storage/engine.h"

namespace pbft::storage {

const char* to_string(Family family) {
  switch (family) {
    case Family::meta:
      return "meta";
    case Family::batches:
      return "batches";
    case Family::journal:
      return "journal";
    case Family::ledger:
      return "ledger";
    case Family::state:
      return "state";
    case Family::undo:
      return "undo";
    case Family::clients:
      return "clients";
    case Family::tree:
      return "tree";
    case Family::checkpoints:
      return "checkpoints";
    case Family::count_:
      break;
  }
  return "unknown";
}

}  // namespace pbft::storage
