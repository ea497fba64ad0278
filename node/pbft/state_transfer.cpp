#include "node/pbft/state_transfer.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>

#include "node/pbft/digests.h"
#include "node/pbft/quorum.h"

namespace pbft {

namespace {

constexpr std::uint32_t outstanding_per_source = 2;
// Buckets that are begun and not whole: those that are being fetched, and as many that were given back.
constexpr std::uint32_t buckets_begun_per_replica = 2 * outstanding_per_source;
// Answers that a peer gets in one tick. A correct one asks for its few and waits for the answers.
constexpr std::uint32_t served_per_tick = 64;
constexpr std::uint32_t bucket_patience = 20;  // timeouts that a source may take over the parts of one bucket, at first
// Who has given so much meanwhile, or in so many parts, does not trickle: of two parts in a row that an honest source
// gives, the first is only closed because it has no room for what the second begins with.
constexpr std::uint64_t much_of_a_bucket = bucket_patience * Limits::bucket_part_bytes / 2;
// What any source may bring of a bucket that is not whole. What more it may bring depends on the others.
constexpr std::uint64_t first_share = 8U << 20;
constexpr std::uint64_t bytes_beside_a_pair = 64;  // that a pair takes where it is staged, at least
constexpr Ticks pace_grows = 6'000;                // as much again each time that so much of it has passed
constexpr std::int64_t longest_pause = 100;        // ticks: much less than a source keeps a state for who does not ask
constexpr std::uint32_t patience = 3;  // requests in a row that a source may leave unanswered before it is named

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
  for (const auto& [bucket, fetch] : fetches_) {
    if (!fetch.staging && !fetch.paused) ++begun_.at(bucket)[fetch.source.value].given_up;
  }
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

// One that does not answer gets a single request at a time, to see whether it is back.
bool StateTransfer::has_room(const Source& source) {
  return source.outstanding < (source.unanswered >= patience ? 1 : outstanding_per_source);
}

// In turn, those with room, and of a bucket that was begun who has had it least often; bad ones only where the others
// do not answer, or have had their share.
std::optional<ReplicaId> StateTransfer::next_source(const Shares& shares) {
  const auto may = [&](std::uint32_t i) { return ReplicaId{i} != local_.self && !has_had_its_share(shares, i); };
  bool all_bad = true;
  for (std::uint32_t i = 0; i < cluster_.replicas; ++i) {
    if (may(i) && !sources_[i].bad && sources_[i].unanswered < patience) all_bad = false;
  }
  std::optional<std::uint32_t> best;
  for (std::uint32_t k = 0; k < cluster_.replicas; ++k) {
    const std::uint32_t i = (turns_ + k) % cluster_.replicas;
    if (!may(i) || (sources_[i].bad && !all_bad) || !has_room(sources_[i])) continue;
    if (!best || (!shares.empty() && shares[i].turns < shares[*best].turns)) best = i;
  }
  if (!best) return std::nullopt;
  turns_ = *best + 1;
  return ReplicaId{*best};
}

// A first share, and twice what the f-th of the others has brought, in the order of who brought most. So f liars bring
// a first share each, and twice what an honest source does, and no more; of the honest ones there is always one that
// may go on. The turns grow with what was brought: in the end that of an honest one is longer than the bucket, whatever
// liars have put in the place of what was right.
bool StateTransfer::has_had_its_share(const Shares& shares, std::uint32_t source) const {
  const std::uint32_t faults = Quorum{cluster_.replicas}.faults();
  if (shares.empty() || faults == 0) return false;
  std::vector<std::uint64_t> others;
  for (std::uint32_t i = 0; i < shares.size(); ++i) {
    if (i != source) others.push_back(shares[i].bytes);
  }
  std::ranges::nth_element(others, others.begin() + (faults - 1), std::greater{});
  return shares[source].bytes >= first_share + 2 * others[faults - 1];
}

void StateTransfer::accuse(ReplicaId source, const char* what, Outbox& out) {
  out.event(BadSource{source, what});
}

// ---- The tree --------------------------------------------------------------------------------------

void StateTransfer::ask_for_tree(Outbox& out) {
  if (tree_source_ && ++sources_[tree_source_->value].unanswered == patience) accuse(*tree_source_, "no answer", out);
  // The highest proven checkpoint is the one that is kept for longest.
  target_ = checkpointing_.highest_proven();
  tree_source_ = next_source({});
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
  // What comes for another target is not taken for an answer.
  if (summary_.n != message.summary.n) {
    for (auto& [bucket, shares] : begun_) {
      for (Share& share : shares) share.given_up = 0;
    }
  }
  summary_ = message.summary;
  phase_ = Phase::planning;
  out.execute(PlanTransfer{message.summary, message.leaves});
}

void StateTransfer::on_planned(const TransferPlanned& done, Outbox& out) {
  if (phase_ != Phase::planning || done.n != target_->n) return out.reject(Reject::stray_completion);
  phase_ = Phase::fetching;
  missing_.assign(done.missing.begin(), done.missing.end());
  // What is staged of a bucket stays, and so does who has brought it.
  const std::set<std::uint32_t> still{missing_.begin(), missing_.end()};
  std::erase_if(begun_, [&](const auto& one) { return !still.contains(one.first); });
  std::stable_partition(missing_.begin(), missing_.end(),
                        [&](std::uint32_t bucket) { return begun_.contains(bucket); });
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
  const auto has_room_for_one = [&] {
    for (std::uint32_t i = 0; i < cluster_.replicas; ++i) {
      if (ReplicaId{i} != local_.self && has_room(sources_[i])) return true;
    }
    return false;
  };
  for (auto at = missing_.begin(); at != missing_.end() && has_room_for_one();) {
    const std::uint32_t bucket = *at;
    const auto begun = begun_.find(bucket);
    const bool anew = begun == begun_.end();
    // Behind the first that is not begun there are only such.
    if (anew && begun_.size() >= std::size_t{buckets_begun_per_replica} * cluster_.replicas) return;
    const auto source = next_source(anew ? Shares{} : begun->second);
    if (!source && anew) return;
    if (!source) {
      ++at;
      continue;
    }
    at = missing_.erase(at);
    Shares& shares = begun_[bucket];
    shares.resize(cluster_.replicas);
    ++shares[source->value].turns;
    ++sources_[source->value].outstanding;
    Fetch& fetch = fetches_[bucket] = {*source, now_, 0, 0, now_, 0, false, std::nullopt};
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

void StateTransfer::end_turn(std::uint32_t bucket) {
  const auto fetch = fetches_.find(bucket);
  --sources_[fetch->second.source.value].outstanding;
  fetches_.erase(fetch);
}

// What was begun is ended before more is begun.
void StateTransfer::give_back(std::uint32_t bucket) {
  end_turn(bucket);
  missing_.push_front(bucket);
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
  ++begun_.at(bucket)[fetch.source.value].given_up;
  if (now_ - fetch.sent >= local_.fetch_timeout_ticks) {
    ++fruitless_;
    if (++source.unanswered == patience) accuse(fetch.source, "no answer", out);
    return;
  }
  // It answers, in parts that do not come to an end. What they brought stays, so the next may go on from there.
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
      if (goes_on(fetch->second, done, out)) {
        if (may_fetch()) return ask_for_part(done.bucket, fetch->second, out);
        fetch->second.paused = now_;
        return;
      }
      give_back(done.bucket);
      break;
    case BucketStaged::Outcome::wrong: {
      // An answer does not say to which list of what is here it is. So each question that was given up excuses one: it
      // may be the late answer to that question, and to an older list.
      std::uint32_t& given_up = begun_.at(done.bucket)[done.source.value].given_up;
      if (given_up > 0) {
        --given_up;
      } else {
        sources_[done.source.value].bad = true;
        accuse(done.source, "wrong bucket", out);
      }
      out.reject(Reject::wrong_digest, done.source);
      give_back(done.bucket);
      break;
    }
    case BucketStaged::Outcome::whole:
      sources_[fetch->second.source.value].unanswered = 0;
      end_turn(done.bucket);
      begun_.erase(done.bucket);
      break;
  }
  ask_for_buckets(out);
}

// A turn has an end in what it brings, too: while this replica fetches at a pace, a source that is quick takes no time.
bool StateTransfer::goes_on(Fetch& fetch, const BucketStaged& done, Outbox& out) {
  const std::uint64_t bytes = done.bytes + bytes_beside_a_pair * done.pairs;
  fetch.skip += done.pairs;
  fetch.bytes += bytes;
  ++fetch.parts;
  Shares& shares = begun_.at(done.bucket);
  shares[fetch.source.value].bytes += bytes + done.replaced;
  if (fetch.parts % bucket_patience == 0 && fetch.bytes < fetch.parts / bucket_patience * much_of_a_bucket) {
    Source& source = sources_[fetch.source.value];
    if (!std::exchange(source.bad, true)) accuse(fetch.source, "too slow", out);
    return false;
  }
  return !has_had_its_share(shares, fetch.source.value);
}

std::optional<StableCheckpoint> StateTransfer::on_installed(const StateInstalled& done, Outbox& out) {
  if (phase_ != Phase::installing || done.summary.n != target_->n) {
    out.reject(Reject::stray_completion);
    return std::nullopt;
  }
  begun_.clear();
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
  for (const auto& [bucket, fetch] : fetches_) assert(begun_.contains(bucket));
}

}  // namespace pbft
