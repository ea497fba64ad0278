#include "tools/sim/describe.h"

#include <fmt/format.h>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "tools/sim/checkers/history.h"

namespace pbft::sim {
namespace {

template <class Message, class Decode>
Opened<Message> open(const SharedBytes& frame, unsigned first_bit, const Decode& decode) {
  Opened<Message> opened;
  const auto packet = wire::decode_packet(frame);
  if (!packet) return opened;
  for (const SharedBytes& bytes : packet->messages) {
    auto message = decode(bytes);
    if (!message) continue;
    opened.types |= TypeMask{1} << (first_bit + message->index());
    opened.messages.push_back(std::move(*message));
  }
  return opened;
}

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

std::string slot(const char* name, View view, SequenceNumber n, const Digest& digest) {
  return fmt::format("{} v{} n{} {}", name, view.value, n.value, short_hex(digest.view()));
}

std::string marks(const std::vector<SlotMark>& marks) {
  std::string text;
  for (const SlotMark& mark : marks) {
    text += fmt::format(" n{} {} v{}", mark.n.value, short_hex(mark.digest.view()), mark.view.value);
  }
  return text;
}

}  // namespace

Opened<PeerMessage> open_peer_frame(const SharedBytes& frame) {
  return open<PeerMessage>(frame, 0, wire::decode_peer_message);
}
Opened<ClientMessage> open_client_frame(const SharedBytes& frame) {
  return open<ClientMessage>(frame, client_type_bit, wire::decode_client_message);
}
Opened<ReplicaToClientMessage> open_reply_frame(const SharedBytes& frame) {
  return open<ReplicaToClientMessage>(frame, reply_type_bit, wire::decode_replica_message);
}

std::string describe(const PeerMessage& message) {
  return std::visit(
      Overloaded{
          [](const PrePrepare& m) {
            return slot("PRE-PREPARE", m.view, m.n, m.batch->digest) + fmt::format(" ({})", m.batch->bundles.size());
          },
          [](const Prepare& m) { return slot("PREPARE", m.view, m.n, m.digest); },
          [](const Commit& m) { return slot("COMMIT", m.view, m.n, m.digest); },
          [](const Checkpoint& m) { return fmt::format("CHECKPOINT n{} {}", m.n.value, short_hex(m.root.view())); },
          [](const StableCheckpoint& m) { return fmt::format("STABLE n{} ({} votes)", m.n.value, m.votes.size()); },
          [](const Status& m) {
            std::string lacks;
            for (const Status::Lack& lack : m.lacks) {
              lacks += fmt::format(" {}{}{}{}", lack.n.value, lack.batch ? "b" : "", lack.prepares ? "p" : "",
                                   lack.commits ? "c" : "");
            }
            return fmt::format("STATUS v{}{}{} stable {} executed {} lacks [{}]{}", m.view.value,
                               m.active ? "" : fmt::format(" inactive, holds {:b}", m.view_changes),
                               m.suspects ? " suspects the primary" : "", m.stable.value, m.executed.value, lacks,
                               m.rejoins_in.value > 0 ? fmt::format(" rejoins in v{}", m.rejoins_in.value) : "");
          },
          [](const FetchBatch& m) { return fmt::format("FETCH-BATCH n{} {}", m.n.value, short_hex(m.digest.view())); },
          [](const BatchResponse& m) {
            return fmt::format("BATCH n{} {}", m.n.value, short_hex(m.batch->digest.view()));
          },
          [](const FetchLedger& m) { return fmt::format("FETCH-LEDGER {}..{}", m.first.value, m.last.value); },
          [](const LedgerRange& m) {
            return fmt::format("LEDGER {}..{}", m.first.value, m.first.value + m.digests.size() - 1);
          },
          [](const ViewChange& m) {
            return fmt::format("VIEW-CHANGE v{} h{} P[{}] Q[{}]", m.view.value, m.low().value, marks(m.prepared),
                               marks(m.voted));
          },
          [](const NewView& m) {
            std::string from;
            for (const NewView::Signed& one : m.view_changes) {
              from += fmt::format(" {}:h{}", one.replica.value, one.message.low().value);
            }
            return fmt::format("NEW-VIEW v{} of {} from [{}]", m.view.value, m.primary.value, from);
          },
          [](const FetchTree& m) { return fmt::format("FETCH-TREE n{}", m.n.value); },
          [](const Tree& m) {
            return fmt::format("TREE n{} {}", m.summary.n.value, short_hex(m.summary.state.view()));
          },
          [](const FetchBucket& m) {
            return fmt::format("FETCH-BUCKET n{} {} skip {} has {}", m.n.value, m.bucket, m.skip, m.have.size());
          },
          [](const BucketPart& m) {
            return fmt::format("BUCKET n{} {} {}..{} of {}, {} wrong", m.n.value, m.bucket, m.skip,
                               m.skip + m.pairs.size(), m.total, m.wrong.size());
          },
          [](const Committed& m) { return fmt::format("COMMITTED n{} {}", m.n.value, short_hex(m.digest.view())); },
          [](const ClientReport& m) { return fmt::format("CLIENT-REPORT {}", short_hex(m.client.view())); },
          [](const Forward& m) {
            return fmt::format("FORWARD {} session {} ({})", short_hex(m.bundle->client.view()),
                               m.bundle->session.value, m.bundle->requests.size());
          },
      },
      message);
}

std::string describe(const ClientMessage& message) {
  return std::visit(Overloaded{
                        [](const Hello& m) {
                          return fmt::format("HELLO session {} number {}{}", m.session.value, m.number.value,
                                             m.quiet ? " quiet" : "");
                        },
                        [](const ClientRequest& m) {
                          return fmt::format("REQUEST session {} {}..{}", m.bundle->session.value,
                                             m.bundle->requests.front().number.value,
                                             m.bundle->requests.back().number.value);
                        },
                        [](const ReadRequest& m) { return fmt::format("READ {}", m.number.value); },
                        [](const InfoRequest& m) { return fmt::format("INFO {}", m.number.value); },
                    },
                    message);
}

std::string describe(const ReplicaToClientMessage& message) {
  return std::visit(
      Overloaded{
          [](const Welcome& m) { return fmt::format("WELCOME v{} executed {}", m.view.value, m.executed.value); },
          [](const Reply& m) {
            const Digest digest = m.result ? reply_digest(m.status, m.result->view()) : m.result_digest;
            return fmt::format("REPLY session {} number {} status {} {}{}", m.session.value, m.number.value,
                               int(m.status), short_hex(digest.view()), m.result ? " full" : "");
          },
          [](const ReadReply& m) {
            return fmt::format("READ-REPLY {} status {} at {}", m.number.value, int(m.status), m.executed.value);
          },
          [](const InfoReply& m) { return fmt::format("INFO-REPLY {}", m.number.value); },
      },
      message);
}

}  // namespace pbft::sim
