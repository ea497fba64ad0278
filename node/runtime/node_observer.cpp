#include "node/runtime/node_observer.h"

#include <spdlog/spdlog.h>

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

}  // namespace

void NodeObserver::on_event(const Event& event) {
  std::visit(Overloaded{
                 [this](const Rejected& rejected) { count(std::string{"rejected_"} + to_string(rejected.reason)); },
                 [this](const BecameStable& stable) {
                   count("checkpoints_stable");
                   spdlog::debug("checkpoint {} is stable", stable.n.value);
                 },
                 [this](const Diverged& diverged) {
                   count("diverged");
                   spdlog::critical(
                       "DIVERGED at checkpoint {}: a quorum certified state {}, this replica has {}. It no longer "
                       "executes or answers. Keep its data directory for analysis.",
                       diverged.n.value, crypto::to_hex(diverged.certified), crypto::to_hex(diverged.own));
                 },
                 [this](const CatchUpStarted& started) {
                   count("catch_ups");
                   spdlog::info("catching up from {} to {}", started.from.value, started.to.value);
                 },
                 [](const CatchUpFinished& finished) { spdlog::info("caught up at {}", finished.at.value); },
             },
             event);
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
