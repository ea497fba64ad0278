#include "node/pbft/effects.h"

namespace pbft {

const char* to_string(Reject reason) {
  switch (reason) {
    case Reject::not_a_replica:
      return "not_a_replica";
    case Reject::not_from_primary:
      return "not_from_primary";
    case Reject::wrong_view:
      return "wrong_view";
    case Reject::outside_window:
      return "outside_window";
    case Reject::second_preprepare:
      return "second_preprepare";
    case Reject::time_not_later:
      return "time_not_later";
    case Reject::time_ahead:
      return "time_ahead";
    case Reject::time_behind:
      return "time_behind";
    case Reject::empty_batch:
      return "empty_batch";
    case Reject::batch_too_large:
      return "batch_too_large";
    case Reject::not_a_client:
      return "not_a_client";
    case Reject::bundle_not_authentic:
      return "bundle_not_authentic";
    case Reject::vote_from_primary:
      return "vote_from_primary";
    case Reject::second_vote:
      return "second_vote";
    case Reject::already_known:
      return "already_known";
    case Reject::checkpoint_not_boundary:
      return "checkpoint_not_boundary";
    case Reject::proof_too_small:
      return "proof_too_small";
    case Reject::not_asked_for:
      return "not_asked_for";
    case Reject::wrong_digest:
      return "wrong_digest";
    case Reject::bad_ledger_range:
      return "bad_ledger_range";
    case Reject::rate_limited:
      return "rate_limited";
    case Reject::unknown_session:
      return "unknown_session";
    case Reject::request_outside_window:
      return "request_outside_window";
    case Reject::request_too_old:
      return "request_too_old";
    case Reject::queue_full:
      return "queue_full";
    case Reject::client_queue_full:
      return "client_queue_full";
    case Reject::not_primary:
      return "not_primary";
    case Reject::bad_view_change:
      return "bad_view_change";
    case Reject::bad_new_view:
      return "bad_new_view";
    case Reject::not_active:
      return "not_active";
    case Reject::rejoining:
      return "rejoining";
    case Reject::bad_tree:
      return "bad_tree";
    case Reject::no_room:
      return "no_room";
    case Reject::signature_required:
      return "signature_required";
    case Reject::stray_completion:
      return "stray_completion";
    case Reject::count_:
      break;
  }
  return "?";
}

}  // namespace pbft
