#include "node/pbft/state_transfer.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "node/pbft/digests.h"

namespace pbft {

namespace {

constexpr std::uint32_t outstanding_per_source = 2;
// Answers that a peer gets in one tick. A correct one asks for its few and waits for the answers.
constexpr std::uint32_t served_per_tick = 64;
constexpr std::uint32_t bucket_patience = 20;  // timeouts that a source may take over the parts of one bucket, at first
// Who has given so much meanwhile does not trickle.
constexpr std::uint64_t much_of_a_bucket = bucket_patience * Limits::bucket_part_bytes / 2;
constexpr Ticks pace_grows = 6'000;          // as much again each time that so much of it has passed
constexpr std::int64_t longest_pause = 100;  // ticks: much less than a source keeps a state for who does not ask
constexpr std::uint32_t patience = 3;        // requests in a row that a source may leave unanswered before it is named

}  // namespace

StateTransfer::StateTransfer(const ClusterParameters& cluster, const LocalParameters& local, const MessageLog& log,
                             Delivery& delivery, const Checkpointing& checkpointing)
    : cluster_(cluster),
      local_(local),
      log_(log),
      delivery_(delivery),
      checkpointing_(checkpointing),
      sources_(cluster.replicas) {}

// ---- When ------------------------------------------------------------------------------------------

// A state that is not what a quorum certified is replaced by any proven one; one that is behind, by a later one, where
// the way through the batches is long or gone. From a state that was fetched just now it is the only way, as long as it
// is there: to fetch the next would take as long again, and under load lead nowhere.
bool StateTransfer::wanted(bool ledger_gone) {
  const auto& proven = checkpointing_.highest_proven();
  if (!proven || cluster_.replicas == 1) return false;
  if (delivery_.stopped()) return local_.repair;
  const bool far = delivery_.is_far_from(proven->n, local_.transfer_above);
  if (!far) delivery_.came_near();
  return proven->n > delivery_.delivered() && (ledger_gone || (far && !delivery_.follows_state()));
}

void StateTransfer::on_tick(Ticks now, bool ledger_gone, SequenceNumber executed, Outbox& out) {
  now_ = now;
  refill(executed);
  switch (phase_) {
    case Phase::idle:
      if (wanted(ledger_gone)) start(out);
      return;
    case Phase::tree:
      if (now_ - tree_asked_ >= local_.fetch_timeout_ticks) ask_for_tree(out);
      return;
    case Phase::fetching:
      expire(out);
      if (phase_ == Phase::fetching) ask_for_buckets(out);  // not where the target has just moved
      return;
    case Phase::planning:
    case Phase::installing:
      return;  // storage is at it
  }
}

void StateTransfer::start(Outbox& out) {
  target_ = checkpointing_.highest_proven();
  phase_ = Phase::tree;
  // What is staged and planned is compared with the state as it is now, so that must not move.
  delivery_.hold();
  pairs_ = 0;
  bytes_ = 0;
  allowance_ = Ticks{bucket_patience} * local_.fetch_timeout_ticks;
  for (Source& source : sources_) {
    source.outstanding = 0;
    source.unanswered = 0;
    source.bad = false;
  }
  tree_source_.reset();
  started_ = now_;
  ask_for_tree(out);
}

void StateTransfer::stop() {
  phase_ = Phase::idle;
  target_.reset();
  missing_.clear();
  fetches_.clear();
  for (Source& source : sources_) source.outstanding = 0;
  tree_source_.reset();
  fruitless_ = 0;
  delivery_.release();
}

// ---- Sources ---------------------------------------------------------------------------------------

// In turn, those with room; bad ones only where the others do not answer.
std::optional<ReplicaId> StateTransfer::next_source() {
  const bool all_bad = [&] {
    for (std::uint32_t i = 0; i < sources_.size(); ++i) {
      if (ReplicaId{i} != local_.self && !sources_[i].bad && sources_[i].unanswered < patience) return false;
    }
    return true;
  }();
  for (std::uint32_t i = 0; i < cluster_.replicas; ++i) {
    const ReplicaId candidate{turns_++ % cluster_.replicas};
    if (candidate == local_.self) continue;
    const Source& source = sources_[candidate.value];
    if (source.bad && !all_bad) continue;
    // One that does not answer gets a single request at a time, to see whether it is back.
    const std::uint32_t room = source.unanswered >= patience ? 1 : outstanding_per_source;
    if (source.outstanding < room) return candidate;
  }
  return std::nullopt;
}

void StateTransfer::accuse(ReplicaId source, const char* what, Outbox& out) {
  out.event(BadSource{source, what});
}

// ---- The tree --------------------------------------------------------------------------------------

void StateTransfer::ask_for_tree(Outbox& out) {
  if (tree_source_ && ++sources_[tree_source_->value].unanswered == patience) accuse(*tree_source_, "no answer", out);
  // The highest proven checkpoint is the one that is kept for longest.
  target_ = checkpointing_.highest_proven();
  tree_source_ = next_source();
  if (!tree_source_) return;
  tree_asked_ = now_;
  out.send_to(*tree_source_, FetchTree{target_->n});
}

void StateTransfer::on_tree(ReplicaId sender, const Tree& message, Outbox& out) {
  if (phase_ != Phase::tree || sender != tree_source_ || message.summary.n != target_->n) {
    return out.reject(Reject::not_asked_for, sender);
  }
  if (message.leaves.size() != Limits::tree_buckets || checkpoint_root(message.summary) != target_->root ||
      tree_root(message.leaves) != message.summary.state) {
    sources_[sender.value].bad = true;
    accuse(sender, "wrong tree", out);
    out.reject(Reject::bad_tree, sender);
    return ask_for_tree(out);
  }
  sources_[sender.value].unanswered = 0;
  summary_ = message.summary;
  phase_ = Phase::planning;
  out.execute(PlanTransfer{message.summary, message.leaves});
}

void StateTransfer::on_planned(const TransferPlanned& done, Outbox& out) {
  if (phase_ != Phase::planning || done.n != target_->n) return out.reject(Reject::stray_completion);
  phase_ = Phase::fetching;
  missing_.assign(done.missing.begin(), done.missing.end());
  fetches_.clear();
  for (Source& source : sources_) source.outstanding = 0;
  buckets_ = static_cast<std::uint32_t>(missing_.size());
  fruitless_ = 0;
  out.event(TransferStarted{target_->n, buckets_});
  ask_for_buckets(out);
}

// ---- Buckets ---------------------------------------------------------------------------------------

void StateTransfer::ask_for_buckets(Outbox& out) {
  assert(phase_ == Phase::fetching && target_->n == summary_.n);
  if (missing_.empty() && fetches_.empty()) {
    phase_ = Phase::installing;
    out.execute(InstallState{*target_, summary_});
    return;
  }
  if (!may_fetch()) return;
  for (auto& [bucket, fetch] : fetches_) {
    if (!fetch.paused) continue;
    fetch.began += now_ - *fetch.paused;
    fetch.paused.reset();
    ask_for_part(bucket, fetch, out);
  }
  while (!missing_.empty()) {
    const auto source = next_source();
    if (!source) return;
    const std::uint32_t bucket = missing_.front();
    missing_.pop_front();
    ++sources_[source->value].outstanding;
    Fetch& fetch = fetches_[bucket] = {*source, now_, 0, now_, 0, false, std::nullopt};
    ask_for_part(bucket, fetch, out);
  }
}

void StateTransfer::ask_for_part(std::uint32_t bucket, Fetch& fetch, Outbox& out) {
  fetch.sent = now_;
  out.send(RequestBucket{fetch.source, target_->n, bucket, fetch.skip});
}

// Giving and taking a state costs processor time that is lacking for requests. Where there are none, it may all be
// used; where there are many for long, the state must come in faster than they change it in the end.
void StateTransfer::refill(SequenceNumber executed) {
  const bool known = last_executed_ > SequenceNumber{};  // what is heard first says nothing
  if (executed > last_executed_ && known) executed_at_ = now_;
  last_executed_ = std::max(last_executed_, executed);
  const Ticks known_for = Ticks{2} * local_.idle_status_interval_ticks;
  const bool work = local_.transfer_bytes_per_tick > 0 && executed_at_ && now_ - *executed_at_ < known_for;
  const Ticks grown = phase_ == Phase::idle ? 1 : 1 + (now_ - started_) / pace_grows;
  pace_ = static_cast<std::int64_t>(local_.transfer_bytes_per_tick * grown);
  credit_ = std::exchange(others_work_, work) ? std::min(credit_ + pace_, pace_) : pace_;
}

void StateTransfer::give_back(std::uint32_t bucket) {
  const auto fetch = fetches_.find(bucket);
  --sources_[fetch->second.source.value].outstanding;
  fetches_.erase(fetch);
}

void StateTransfer::expire(Outbox& out) {
  std::vector<std::uint32_t> late;
  for (const auto& [bucket, fetch] : fetches_) {
    const bool silent = now_ - fetch.sent >= local_.fetch_timeout_ticks;
    if (fetch.staging || fetch.paused) continue;
    if (silent || now_ - fetch.began >= allowance_) late.push_back(bucket);
  }
  for (const std::uint32_t bucket : late) expire_one(bucket, out);
  // Nobody has this checkpoint any more, or liars at most, who take their time: a later one is aimed at. What is staged
  // stays of use.
  const auto& proven = checkpointing_.highest_proven();
  const auto silent = std::count_if(sources_.begin(), sources_.end(),
                                    [](const Source& source) { return source.unanswered >= patience; });
  const bool gone =
      fruitless_ > 2 * cluster_.replicas || static_cast<std::uint32_t>(silent) >= Quorum{cluster_.replicas}.weak();
  if (gone && proven->n > target_->n) {
    missing_.clear();
    fetches_.clear();
    // What they left unanswered was of the old target, and says nothing of the new one; nor does what took long.
    for (Source& source : sources_) {
      source.outstanding = source.unanswered = 0;
      source.bad = false;
    }
    fruitless_ = 0;
    phase_ = Phase::tree;
    tree_source_.reset();
    ask_for_tree(out);
  }
}

void StateTransfer::expire_one(std::uint32_t bucket, Outbox& out) {
  const Fetch fetch = fetches_.at(bucket);
  Source& source = sources_[fetch.source.value];
  give_back(bucket);
  missing_.push_back(bucket);
  if (now_ - fetch.sent >= local_.fetch_timeout_ticks) {
    ++fruitless_;
    if (++source.unanswered == patience) accuse(fetch.source, "no answer", out);
    return;
  }
  // It answers, in parts that do not come to an end. What they brought stays, so the next may go on from there: a large
  // bucket has several sources, and a liar has no more than a turn.
  if (fetch.bytes >= much_of_a_bucket) return;
  // Where all are that slow, all get more time.
  source.bad = true;
  allowance_ *= 2;
  accuse(fetch.source, "too slow", out);
}

void StateTransfer::on_bucket_part(ReplicaId sender, const BucketPart& message, Outbox& out) {
  const auto fetch = fetches_.find(message.bucket);
  const bool asked = phase_ == Phase::fetching && message.n == target_->n && fetch != fetches_.end() &&
                     fetch->second.source == sender && fetch->second.skip == message.skip && !fetch->second.staging &&
                     !fetch->second.paused;
  if (!asked) return out.reject(Reject::not_asked_for, sender);
  fetch->second.staging = true;
  fruitless_ = 0;
  out.execute(StageBucket{sender, message});
}

void StateTransfer::on_staged(const BucketStaged& done, Outbox& out) {
  const auto fetch = fetches_.find(done.bucket);
  if (phase_ != Phase::fetching || done.n != target_->n || fetch == fetches_.end() || !fetch->second.staging) {
    return out.reject(Reject::stray_completion);
  }
  pairs_ += done.pairs;
  bytes_ += done.bytes;
  credit_ = std::max(credit_ - static_cast<std::int64_t>(done.bytes), -longest_pause * pace_);
  switch (done.outcome) {
    case BucketStaged::Outcome::more:
      fetch->second.staging = false;
      fetch->second.skip += done.pairs;
      fetch->second.bytes += done.bytes;
      if (may_fetch()) return ask_for_part(done.bucket, fetch->second, out);
      fetch->second.paused = now_;
      return;
    case BucketStaged::Outcome::wrong:
      sources_[done.source.value].bad = true;
      accuse(done.source, "wrong bucket", out);
      out.reject(Reject::wrong_digest, done.source);
      give_back(done.bucket);
      missing_.push_back(done.bucket);
      break;
    case BucketStaged::Outcome::whole:
      sources_[fetch->second.source.value].unanswered = 0;
      give_back(done.bucket);
      break;
  }
  ask_for_buckets(out);
}

std::optional<StableCheckpoint> StateTransfer::on_installed(const StateInstalled& done, Outbox& out) {
  if (phase_ != Phase::installing || done.summary.n != target_->n) {
    out.reject(Reject::stray_completion);
    return std::nullopt;
  }
  StableCheckpoint proof = std::move(*target_);
  if (done.difference) {
    const auto& [name_space, first, last, keys] = *done.difference;
    out.event(DivergenceLocated{proof.n, name_space, first, last, keys});
  }
  out.event(TransferFinished{proof.n, pairs_, bytes_});
  stop();
  return proof;
}

// ---- Serving ---------------------------------------------------------------------------------------

void StateTransfer::on_fetch_tree(ReplicaId sender, const FetchTree& message, Outbox& out) {
  if (delivery_.stopped() || message.n > log_.low()) return out.reject(Reject::outside_window, sender);
  auto& served = sources_[sender.value].served_tree;
  if (served && now_ - *served < local_.fetch_timeout_ticks / 2) return out.reject(Reject::rate_limited, sender);
  served = now_;
  out.send(ServeTree{sender, message.n});
}

void StateTransfer::on_fetch_bucket(ReplicaId sender, const FetchBucket& message, Outbox& out) {
  if (delivery_.stopped() || message.n > log_.low()) return out.reject(Reject::outside_window, sender);
  Source& source = sources_[sender.value];
  if (source.served != now_) source.served_in_tick = 0;
  source.served = now_;
  if (++source.served_in_tick > served_per_tick) return out.reject(Reject::rate_limited, sender);
  out.send(ServeBucket{sender, message});
}

// ---- For people ------------------------------------------------------------------------------------

StateTransfer::Progress StateTransfer::progress() const {
  if (!target_) return {};
  return {target_->n, buckets_, static_cast<std::uint32_t>(missing_.size() + fetches_.size()), bytes_};
}

std::string StateTransfer::waiting_for(std::vector<ReplicaId>& from) const {
  const std::string at = std::to_string(target_->n.value);
  switch (phase_) {
    case Phase::tree:
      if (tree_source_) from.assign(1, *tree_source_);
      return "waiting for the digests of the state at " + at;
    case Phase::fetching: {
      std::set<ReplicaId> sources;
      for (const auto& [bucket, fetch] : fetches_) sources.insert(fetch.source);
      from.assign(sources.begin(), sources.end());
      return "waiting for " + std::to_string(missing_.size() + fetches_.size()) + " of " + std::to_string(buckets_) +
             " buckets of the state at " + at;
    }
    case Phase::planning:
      return "comparing the state with that at " + at;
    case Phase::installing:
      return "installing the state at " + at;
    case Phase::idle:
      break;
  }
  return "";
}

void StateTransfer::invariants() const {
  assert((phase_ == Phase::idle) == !target_);
  assert(missing_.size() + fetches_.size() <= Limits::tree_buckets);
  std::vector<std::uint32_t> outstanding(sources_.size(), 0);
  for (const auto& [bucket, fetch] : fetches_) ++outstanding[fetch.source.value];
  for (std::size_t i = 0; i < sources_.size(); ++i) assert(sources_[i].outstanding == outstanding[i]);
}

}  // namespace pbft
