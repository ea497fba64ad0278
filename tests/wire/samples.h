// Messages with random contents, from a seed: valid by the grammar, of every kind, with numbers at the edges of
// their encodings more often than chance would have it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "node/pbft/digests.h"
#include "node/pbft/messages.h"
#include "node/wire/codec.h"

namespace pbft::testing {

class Samples {
 public:
  explicit Samples(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::uint64_t number() {
    static constexpr std::uint64_t edges[] = {0,      1,        0x7f,        0x80,          0xff,      0x100,
                                              0xffff, 0x1'0000, 0xffff'ffff, 0x1'0000'0000, UINT64_MAX};
    return below(2) == 0 ? edges[below(std::size(edges))] : random_() >> below(64);
  }

  template <class Strong>
  Strong strong() {
    return Strong{number()};
  }

  template <class Fixed>
  Fixed fixed() {
    Fixed value;
    for (auto& byte : value.bytes) byte = static_cast<std::uint8_t>(random_());
    return value;
  }

  Bytes bytes(std::size_t size) {
    Bytes made(size);
    for (auto& byte : made) byte = static_cast<std::uint8_t>(random_());
    return made;
  }

  SharedBytes blob() {
    static constexpr std::size_t sizes[] = {0, 1, 5, 40, 255, 256, 300};
    return SharedBytes::own(bytes(sizes[below(std::size(sizes))]));
  }

  BundlePtr bundle() {
    std::vector<Request> requests;
    SessionId session{number()};
    if (session == SessionId{0}) {
      requests.push_back({strong<RequestNumber>(), RequestKind::open_session, {}});
    } else {
      RequestNumber n{below(1000)};
      for (std::uint64_t i = 0, count = 1 + below(20); i < count; ++i) {
        requests.push_back({n, below(2) == 0 ? RequestKind::execute : RequestKind::query, blob()});
        n = RequestNumber{n.value + 1 + below(100)};
      }
    }
    const Bytes body = wire::encode_bundle_body(fixed<ClientId>(), session, strong<RequestNumber>(), requests);
    return wire::decode_bundle(SharedBytes::copy_of(body), SharedBytes::own(bytes(65))).value();
  }

  BatchPtr batch() {
    if (below(8) == 0) return null_batch();
    auto made = std::make_shared<Batch>();
    made->time = strong<Timestamp>();
    for (std::uint64_t i = 0, count = 1 + below(3); i < count; ++i) made->bundles.push_back(bundle());
    made->digest = batch_digest(made->time, made->bundles);
    return made;
  }

  CheckpointSummary summary() {
    return {strong<SequenceNumber>(), fixed<Digest>(), fixed<Digest>(),
            strong<Timestamp>(),      strong<Epoch>(), fixed<Digest>()};
  }

  Checkpoint checkpoint() {
    const wire::CheckpointBody body{strong<Epoch>(), ReplicaId{static_cast<std::uint32_t>(below(64))},
                                    strong<SequenceNumber>(), fixed<Digest>()};
    return {body.n, body.root,
            SharedBytes::own(wire::encode_signed(wire::encode_checkpoint_body(body), fixed<Signature>()))};
  }

  StableCheckpoint stable() {
    StableCheckpoint proof{strong<SequenceNumber>(), fixed<Digest>(), {}};
    for (std::uint32_t i = 0; i < 64; i += 1 + static_cast<std::uint32_t>(below(30))) {
      proof.votes.push_back({ReplicaId{i}, checkpoint().signed_bytes});
    }
    return proof;
  }

  Status status() {
    Status made;
    made.view = strong<View>();
    made.active = below(2) == 0;
    made.suspects = made.active && below(2) == 0;
    made.view_changes = made.active ? 0 : number();
    made.rejoins_in = strong<View>();
    made.stable = SequenceNumber{number() / 2};
    made.executed = strong<SequenceNumber>();
    for (std::uint64_t i = 1; i <= Limits::max_status_slots; i += 1 + below(20)) {
      made.lacks.push_back({SequenceNumber{made.stable.value + i}, below(2) == 0, below(2) == 0, below(2) == 0});
    }
    return made;
  }

  LedgerRange ledger_range() {
    LedgerRange made{strong<SequenceNumber>(), summary(), {}};
    for (std::uint64_t i = 0, count = 1 + below(20); i < count; ++i) made.digests.push_back(fixed<Digest>());
    return made;
  }

  wire::Signer signer() { return {strong<Epoch>(), ReplicaId{static_cast<std::uint32_t>(below(64))}}; }

  std::vector<SlotMark> marks() {
    std::vector<SlotMark> made;
    SequenceNumber n{below(1000)};
    for (std::uint64_t i = 0, count = below(20); i < count; ++i) {
      made.push_back({n, fixed<Digest>(), strong<View>()});
      n = SequenceNumber{n.value + 1 + below(100)};
    }
    return made;
  }

  ViewChange view_change() {
    ViewChange made{strong<View>(), std::nullopt, marks(), marks(), {}};
    if (below(2) == 0) made.stable = stable();
    if (!made.voted.empty()) {  // two digests voted for in one slot
      SlotMark second = made.voted.back();
      second.digest.bytes.fill(0xff);
      made.voted.push_back(second);
    }
    made.signed_bytes =
        SharedBytes::own(wire::encode_signed(wire::encode_view_change_body(signer(), made), fixed<Signature>()));
    return made;
  }

  NewView new_view() {
    NewView made{strong<View>(), ReplicaId{static_cast<std::uint32_t>(below(64))}, {}, {}};
    for (std::uint32_t i = 0; i < 64; i += 1 + static_cast<std::uint32_t>(below(40))) {
      made.view_changes.push_back({ReplicaId{i}, view_change()});
    }
    made.signed_bytes =
        SharedBytes::own(wire::encode_signed(wire::encode_new_view_body(strong<Epoch>(), made), fixed<Signature>()));
    return made;
  }

  ClientReport client_report() {
    const wire::ClientReportBody body{signer(), fixed<ClientId>()};
    return {body.client,
            SharedBytes::own(wire::encode_signed(wire::encode_client_report_body(body), fixed<Signature>()))};
  }

  Tree tree() {
    Tree made{summary(), std::vector<Digest>(Limits::tree_buckets, empty_bucket_digest())};
    for (std::uint64_t full = below(8); full > 0; --full) made.leaves[below(Limits::tree_buckets)] = fixed<Digest>();
    return made;
  }

  std::uint32_t small_number(std::uint64_t bound) { return static_cast<std::uint32_t>(number() % bound); }

  FetchBucket fetch_bucket() {
    FetchBucket made{strong<SequenceNumber>(), small_number(Limits::tree_buckets), small_number(UINT32_MAX), {}};
    for (std::uint64_t count = below(20); count > 0; --count) made.have.push_back(fixed<PairHash>());
    std::sort(made.have.begin(), made.have.end());
    return made;
  }

  BucketPart bucket_part() {
    BucketPart made;
    made.n = strong<SequenceNumber>();
    made.bucket = small_number(Limits::tree_buckets);
    made.skip = below(2) == 0 ? 0 : small_number(1'000'000);
    if (made.skip == 0) {
      for (std::uint32_t i = small_number(300); i < 1000; i += 1 + small_number(300)) made.wrong.push_back(i);
    }
    for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
      for (std::uint8_t i = 0, count = static_cast<std::uint8_t>(below(5)); i < count; ++i) {
        Bytes key = bytes(1 + below(40));
        key[0] = i;
        made.pairs.push_back({name_space, SharedBytes::own(std::move(key)), blob()});
      }
    }
    made.total = made.skip + static_cast<std::uint32_t>(made.pairs.size() + below(10));
    return made;
  }

  static constexpr std::size_t peer_kinds = std::variant_size_v<PeerMessage>;
  PeerMessage peer(std::size_t kind) {
    switch (kind) {
      case 0:
        return PrePrepare{strong<View>(), strong<SequenceNumber>(), batch(), {}};
      case 1:
        return Prepare{strong<View>(), strong<SequenceNumber>(), fixed<Digest>()};
      case 2:
        return Commit{strong<View>(), strong<SequenceNumber>(), fixed<Digest>()};
      case 3:
        return checkpoint();
      case 4:
        return stable();
      case 5:
        return status();
      case 6:
        return FetchBatch{strong<SequenceNumber>(), fixed<Digest>()};
      case 7:
        return BatchResponse{strong<SequenceNumber>(), batch()};
      case 8:
        return FetchLedger{strong<SequenceNumber>(), strong<SequenceNumber>()};
      case 9:
        return ledger_range();
      case 10:
        return Forward{bundle(), false};
      case 11:
        return view_change();
      case 12:
        return new_view();
      case 13:
        return FetchTree{strong<SequenceNumber>()};
      case 14:
        return tree();
      case 15:
        return fetch_bucket();
      case 16:
        return bucket_part();
      case 17:
        return client_report();
      default:
        return Committed{strong<SequenceNumber>(), fixed<Digest>()};
    }
  }

  static constexpr std::size_t client_kinds = std::variant_size_v<ClientMessage>;
  ClientMessage client(std::size_t kind) {
    switch (kind) {
      case 0:
        return Hello{strong<SessionId>(), strong<RequestNumber>(), strong<View>().value % 2 == 1};
      case 1:
        return ClientRequest{bundle()};
      case 2:
        return ReadRequest{strong<RequestNumber>(), blob()};
      default:
        return InfoRequest{strong<RequestNumber>()};
    }
  }

  static constexpr std::size_t replica_kinds = std::variant_size_v<ReplicaToClientMessage>;
  ReplicaToClientMessage replica(std::size_t kind) {
    const auto status_of = static_cast<ReplyStatus>(below(8));
    switch (kind) {
      case 0:
        return Welcome{strong<View>(), strong<SequenceNumber>()};
      case 1: {
        Reply reply{strong<View>(), strong<SessionId>(), strong<RequestNumber>(), status_of, {}, {}};
        if (below(2) == 0) {
          reply.result = blob();
        } else {
          reply.result_digest = fixed<Digest>();
        }
        return reply;
      }
      case 2:
        return ReadReply{strong<RequestNumber>(), status_of, strong<SequenceNumber>(), blob()};
      default:
        return InfoReply{strong<RequestNumber>(), "{\"view\":0}"};
    }
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace pbft::testing
