// Lies about the state: checkpoints, what is served for state transfer, replies; and about clients.
#include <map>
#include <optional>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "tools/sim/byzantine/strategies.h"

namespace pbft::sim {
namespace {

template <class Fixed>
void flip(Fixed& bytes, Random& random) {
  bytes.bytes[random.below(bytes.bytes.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
}

class WrongCheckpoint final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      if (auto* checkpoint = std::get_if<Checkpoint>(&message); checkpoint != nullptr && tempted()) {
        if (random().chance(800)) {
          flip(checkpoint->root, random());
        } else {
          checkpoint->n = SequenceNumber{checkpoint->n.value + mouth_.cluster().checkpoint_interval};
        }
        mouth_.sign(*checkpoint);
        mouth_.told(Lie::wrong_checkpoint);
      } else if (auto* stable = std::get_if<StableCheckpoint>(&message); stable != nullptr && tempted()) {
        if (stable->votes.size() > 1 && random().chance(500)) {
          stable->votes.pop_back();
        } else {
          flip(stable->root, random());
        }
        mouth_.told(Lie::wrong_checkpoint);
      }
    }
  }
};

// What is changed, cut short, of another question, or out of date.
class WrongTransfer final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      if (auto* tree = std::get_if<Tree>(&message)) {
        const Tree fresh = *tree;
        if (tempted()) twist(*tree);
        old_ = fresh;
      } else if (auto* part = std::get_if<BucketPart>(&message)) {
        if (tempted()) twist(*part);
      } else if (auto* range = std::get_if<LedgerRange>(&message)) {
        if (tempted()) twist(*range);
      }
    }
  }

 private:
  void twist(Tree& tree) {
    switch (random().below(3)) {
      case 0:
        flip(tree.leaves[random().below(tree.leaves.size())], random());
        break;
      case 1:
        flip(random().chance(500) ? tree.summary.state : tree.summary.ledger_head, random());
        break;
      default:
        if (old_) tree = *old_;
        tree.summary.time = tree.summary.time.next();
    }
    mouth_.told(Lie::wrong_transfer);
  }
  void twist(BucketPart& part) {
    const std::uint64_t how = random().below(5);
    if (how == 0 && !part.pairs.empty()) {
      part.pairs.pop_back();
    } else if (how == 1 && !part.pairs.empty()) {
      StatePair& pair = part.pairs[random().below(part.pairs.size())];
      pair.value = SharedBytes::own(to_bytes("a liar's"));
    } else if (how == 2) {
      part.total += 1;
    } else if (how == 3) {
      part.pairs.clear();
      part.total = part.skip;
    } else {
      part.bucket = (part.bucket + 1) % Limits::tree_buckets;
    }
    mouth_.told(Lie::wrong_transfer);
  }
  void twist(LedgerRange& range) {
    if (random().chance(500) && range.digests.size() > 1) {
      range.digests.pop_back();
    } else if (random().chance(500)) {
      flip(range.summary.ledger_head, random());
    } else {
      flip(range.digests[random().below(range.digests.size())], random());
    }
    mouth_.told(Lie::wrong_transfer);
  }

  std::optional<Tree> old_;
};

// Several liars give the same wrong result, so that their number and nothing else is what stands against them.
class WrongReply final : public Strategy {
 public:
  using Strategy::Strategy;
  bool hear(const ClientId& client, const std::vector<ClientMessage>& messages) override {
    for (const ClientMessage& message : messages) {
      if (const auto* read = std::get_if<ReadRequest>(&message)) asked_[{client, read->number}] = read->operation;
    }
    return true;
  }
  void reply(const ClientId& client, ReplicaToClientMessage& message) override {
    if (auto* answer = std::get_if<Reply>(&message); answer != nullptr && tempted()) {
      answer->status = ReplyStatus::ok;
      const SharedBytes result = SharedBytes::own(to_bytes("a liar's"));
      answer->result = result;
      mouth_.told(Lie::wrong_reply);
    } else if (auto* read = std::get_if<ReadReply>(&message)) {
      answer_read(client, *read);
    } else if (auto* welcome = std::get_if<Welcome>(&message); welcome != nullptr && tempted()) {
      welcome->view = View{~0ULL};
      mouth_.told(Lie::wrong_reply);
    }
  }

 private:
  // What it had answered before the last change: together with correct replicas that lag behind it may be a quorum.
  void answer_read(const ClientId& client, ReadReply& read) {
    const auto asked = asked_.extract({client, read.number});
    if (asked.empty()) return;
    const BytesView operation = asked.mapped().view();
    Answers& answers = answered_[Bytes{operation.begin(), operation.end()}];
    if (!answers.now || *answers.now != read.result) answers.before = std::exchange(answers.now, read.result);
    if (!tempted()) return;
    const bool stale = answers.before && random().chance(700);
    read.status = ReplyStatus::ok;
    read.result = stale ? *answers.before : SharedBytes::own(to_bytes("a liar's"));
    mouth_.told(Lie::wrong_reply);
  }

  struct Answers {
    std::optional<SharedBytes> now;
    std::optional<SharedBytes> before;
  };
  std::map<std::pair<ClientId, RequestNumber>, SharedBytes> asked_;
  std::map<Bytes, Answers> answered_;  // by operation
};

class FalseReport final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    if (speech.messages.empty() || !random().chance(rate_ / 10 + 1)) return;
    ClientReport report{random().pick(mouth_.clients()), {}};
    if (random().chance(200)) report.client.bytes[0] ^= 1;  // nobody's name
    mouth_.sign(report);
    speech.frames.push_back(wire::encode(PeerMessage{report}));
    mouth_.told(Lie::false_report);
  }
};

}  // namespace

std::unique_ptr<Strategy> answer_lie(Lie lie, Mouth& mouth) {
  if (lie == Lie::wrong_checkpoint) return std::make_unique<WrongCheckpoint>(mouth);
  if (lie == Lie::wrong_transfer) return std::make_unique<WrongTransfer>(mouth);
  if (lie == Lie::wrong_reply) return std::make_unique<WrongReply>(mouth);
  if (lie == Lie::false_report) return std::make_unique<FalseReport>(mouth);
  return nullptr;
}

}  // namespace pbft::sim
