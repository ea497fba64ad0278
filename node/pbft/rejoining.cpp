#include "node/pbft/rejoining.h"

#include <algorithm>
#include <functional>

namespace pbft {

namespace {

// So many base timeouts pass before the same replica is granted another view.
constexpr Ticks grant_every = 60;

}  // namespace

Rejoining::Rejoining(const ClusterParameters& cluster, const LocalParameters& local, ViewState& view,
                     const MessageLog& log, const Recovered& recovered)
    : cluster_(cluster), local_(local), view_(view), log_(log), claims_(cluster.replicas), granted_(cluster.replicas) {
  if (recovered.rejoin && !recovered.rejoin->done) record_ = recovered.rejoin;
  view_.abstains = record_.has_value();
}

void Rejoining::on_status(ReplicaId sender, const Status& status, Outbox& out) {
  if (!record_ || record_->known || sender == local_.self) return;
  claims_[sender.value] = Claim{status.view, status.executed};
  std::vector<View> views;
  std::vector<SequenceNumber> executed;
  for (const auto& claim : claims_) {
    if (!claim) continue;
    views.push_back(claim->view);
    executed.push_back(claim->executed);
  }
  const Quorum& quorum = view_.quorum;
  const std::size_t others = cluster_.replicas - 1;
  const std::size_t liars = std::max<std::size_t>(quorum.faults(), 1);
  if (views.size() + quorum.quorum() < others + quorum.faults() + liars) return;
  std::sort(views.begin(), views.end(), std::greater<>());
  std::sort(executed.begin(), executed.end(), std::greater<>());
  // What they executed lies above the highest stable checkpoint that this replica can have had.
  record_->view = views[liars - 1];
  record_->above = SequenceNumber{executed[liars - 1].value + cluster_.window};
  record_->known = true;
  out.persist(*record_);
}

bool Rejoining::try_to_end(Outbox& out) {
  if (!record_ || !record_->known || log_.low() < record_->above) return false;
  if (!view_.active || view_.view <= record_->view) return false;
  record_->done = true;
  out.persist(*record_);
  out.event(Rejoined{view_.view, log_.low()});
  record_.reset();
  view_.abstains = false;
  return true;
}

View Rejoining::asks_for_view() const {
  if (!record_ || !record_->known || log_.low() < record_->above || view_.view > record_->view) return View{};
  return record_->view.next();
}

bool Rejoining::grants(ReplicaId sender, const Status& status, Ticks now) {
  if (status.rejoins_in <= view_.view || status.rejoins_in != view_.view.next() || !view_.votes()) return false;
  auto& granted = granted_[sender.value];
  if (granted && now - *granted < grant_every * local_.view_timeout_ticks) return false;
  granted = now;
  return true;
}

std::string Rejoining::waiting_for() const {
  if (!record_) return "";
  if (!record_->known) return "has lost its memory; asks the others where they are";
  if (log_.low() < record_->above) {
    return "has lost its memory; votes again after a stable checkpoint at " + std::to_string(record_->above.value);
  }
  return "has lost its memory; votes again in a view above " + std::to_string(record_->view.value);
}

}  // namespace pbft
