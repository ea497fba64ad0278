#include "node/runtime/node_observer.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "node/crypto/keys.h"

namespace pbft::runtime {

namespace {

constexpr std::chrono::seconds summary_interval{10};

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

// What each kind of event is counted as. Rejections are counted by their reason.
const char* counter_of(const Event& event) {
  struct Names {
    const char* operator()(const Rejected&) const { return nullptr; }
    const char* operator()(const BecameStable&) const { return "checkpoints_stable"; }
    const char* operator()(const Diverged&) const { return "diverged"; }
    const char* operator()(const CatchUpStarted&) const { return "catch_ups"; }
    const char* operator()(const CatchUpFinished&) const { return nullptr; }
    const char* operator()(const PrimarySuspected&) const { return "primaries_suspected"; }
    const char* operator()(const ViewLeft&) const { return "views_left"; }
    const char* operator()(const ViewEntered&) const { return "views_entered"; }
    const char* operator()(const TransferStarted&) const { return "transfers_started"; }
    const char* operator()(const TransferFinished&) const { return "transfers_finished"; }
    const char* operator()(const BadSource&) const { return "bad_sources"; }
    const char* operator()(const DivergenceLocated&) const { return "divergences_located"; }
    const char* operator()(const ClientSuspected&) const { return "clients_suspected"; }
    const char* operator()(const Rejoined&) const { return "rejoined"; }
  };
  return std::visit(Names{}, event);
}

}  // namespace

std::string key_text(const Bytes& key) {
  const std::string_view text = as_text(key);
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return printable ? fmt::format("\"{}\"", text) : "0x" + crypto::to_hex(key);
}

void NodeObserver::on_event(const Event& event) {
  if (const auto* rejected = std::get_if<Rejected>(&event)) {
    return count(std::string{"rejected_"} + to_string(rejected->reason));
  }
  if (const char* counter = counter_of(event)) count(counter);
  if (const auto* finished = std::get_if<TransferFinished>(&event)) {
    counters_["transferred_pairs"] += finished->pairs;
    counters_["transferred_bytes"] += finished->bytes;
  }
  log(event);
}

void NodeObserver::log(const Event& event) {
  std::visit(
      Overloaded{
          [](const Rejected&) {},
          [](const BecameStable& stable) { spdlog::debug("checkpoint {} is stable", stable.n.value); },
          [](const Diverged& diverged) {
            spdlog::critical(
                "DIVERGED at checkpoint {}: a quorum certified state {}, this replica has {}. It no longer executes "
                "or answers until its state is repaired.",
                diverged.n.value, crypto::to_hex(diverged.certified), crypto::to_hex(diverged.own));
          },
          [](const CatchUpStarted& started) {
            spdlog::info("catching up along the ledger from {} to {}", started.from.value, started.to.value);
          },
          [](const CatchUpFinished& finished) { spdlog::info("caught up at {}", finished.at.value); },
          [this](const PrimarySuspected& suspected) {
            spdlog::warn("wants view {} of primary {} to be left: {}", suspected.view.value, primary(suspected.view),
                         suspected.reason);
          },
          [](const ViewLeft& left) {
            spdlog::warn("leaves view {} for view {}: {}", left.from.value, left.to.value, left.reason);
          },
          [this](const ViewEntered& entered) {
            spdlog::info("view {}, the primary is {}", entered.view.value, primary(entered.view));
          },
          [](const TransferStarted& started) {
            spdlog::info("state transfer to checkpoint {}: {} buckets differ", started.to.value, started.buckets);
          },
          [](const TransferFinished& finished) {
            spdlog::info("state transfer to checkpoint {} done: {} pairs, {} bytes", finished.at.value, finished.pairs,
                         finished.bytes);
          },
          [this](const BadSource& bad) { spdlog::warn("state transfer: {} from {}", bad.what, name(bad.source)); },
          [this](const DivergenceLocated& located) {
            located_ = fmt::format("{}: {} keys differed at checkpoint {}, from {} to {}",
                                   located.name_space == Namespace::state ? "application state" : "client table",
                                   located.keys, located.n.value, key_text(located.first), key_text(located.last));
            spdlog::error("the state differed from the certified one; {}", located_);
          },
          [](const ClientSuspected& suspected) {
            spdlog::warn("client {} has to sign its requests: a MAC of its did not hold somewhere",
                         crypto::to_hex(suspected.client.view()));
          },
          [](const Rejoined& rejoined) {
            spdlog::info("takes part again, in view {} above checkpoint {}", rejoined.view.value,
                         rejoined.stable.value);
          },
      },
      event);
}

void NodeObserver::on_damage(const storage::StorageError& error) {
  count("damage_found");
  spdlog::critical("the state is DAMAGED, found where it was used: {}", error.message);
}

void NodeObserver::on_refused_frame(const crypto::Refused& refused, bool from_client) {
  std::string name = std::string{"refused_"} + (from_client ? "client_" : "peer_") + crypto::to_string(refused.refusal);
  if (refused.wire) name += std::string{"_"} + wire::to_string(*refused.wire);
  count(name);
  ++refused_[name];
}

void NodeObserver::on_executed(const Execute& effect, const std::vector<execution::OutgoingReply>&) {
  ++counters_["executed_batches"];
  counters_["executed_requests"] += effect.run.size();
}

void NodeObserver::on_checkpoint(const CheckpointSummary& summary) {
  count("checkpoints_taken");
  spdlog::debug("took checkpoint {} with state {}", summary.n.value, crypto::to_hex(summary.state));
}

void NodeObserver::summarize_refusals(std::chrono::steady_clock::time_point now) {
  if (refused_.empty() || now - last_summary_ < summary_interval) return;
  std::uint64_t total = 0;
  std::string reasons;
  for (const auto& [name, number] : refused_) {
    total += number;
    reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", name, number);
  }
  spdlog::warn("refused {} frames: {}", total, reasons);
  refused_.clear();
  last_summary_ = now;
}

}  // namespace pbft::runtime
