// The encodings of the README, byte by byte, and each rule of validity that the decoder holds.
#include <catch2/catch.hpp>
#include <set>

#include "node/wire/writer.h"
#include "tests/wire/literal.h"
#include "tests/wire/samples.h"

namespace pbft::testing {
namespace {

using wire::MessageType;
using wire::WireError;
using wire::Writer;

Request request(std::uint64_t number, std::string_view operation, RequestKind kind = RequestKind::execute) {
  return {RequestNumber{number}, kind, SharedBytes::own(to_bytes(operation))};
}

wire::Decoded<BundlePtr> decode_requests(std::uint64_t session, const std::vector<Request>& requests) {
  return wire::decode_bundle(
      SharedBytes::own(wire::encode_bundle_body(filled<ClientId>(1), SessionId{session}, RequestNumber{0}, requests)),
      {});
}

TEST_CASE("votes have the bytes of the grammar") {
  const Bytes fields = joined({{5, 0xcd, 0x01, 0x00}, bin_of(32, 0xaa)});
  CHECK(wire::encode(PeerMessage{Prepare{View{5}, SequenceNumber{256}, filled<Digest>(0xaa)}}) ==
        joined({{0x94, 2}, fields}));
  CHECK(wire::encode(PeerMessage{Commit{View{5}, SequenceNumber{256}, filled<Digest>(0xaa)}}) ==
        joined({{0x94, 3}, fields}));
  CHECK(wire::encode(PeerMessage{Committed{SequenceNumber{256}, filled<Digest>(0xaa)}}) ==
        joined({{0x93, 19, 0xcd, 0x01, 0x00}, bin_of(32, 0xaa)}));
}

TEST_CASE("a bundle and a batch have the bytes of the grammar") {
  const Bytes body = wire::encode_bundle_body(filled<ClientId>(1), SessionId{2}, RequestNumber{3},
                                              {request(4, "ab"), request(5, "", RequestKind::query)});
  CHECK(body == joined({{0x94}, bin_of(32, 1), {2, 3, 0x92, 0x93, 4, 0, 0xc4, 2, 'a', 'b', 0x93, 5, 1, 0xc4, 0}}));

  Batch batch{Timestamp{9}, {wire::decode_bundle(SharedBytes::copy_of(body), SharedBytes::own({7, 8})).value()}, {}};
  const Bytes encoded = wire::encode_batch(batch);
  CHECK(encoded ==
        joined({{0x92, 9, 0x91, 0x92, 0xc4, static_cast<std::uint8_t>(body.size())}, body, {0xc4, 2, 7, 8}}));
  CHECK(wire::encode_batch(*null_batch()) == Bytes{0x92, 0, 0x90});
}

TEST_CASE("a checkpoint has the bytes of the grammar") {
  const Bytes body = wire::encode_checkpoint_body({Epoch{1}, ReplicaId{3}, SequenceNumber{128}, filled<Digest>(4)});
  CHECK(body == joined({{0x95, 4, 1, 3, 0xcc, 128}, bin_of(32, 4)}));
  const Bytes message = wire::encode_signed(body, filled<Signature>(5));
  CHECK(message == joined({{0x93, 4, 0xc4, static_cast<std::uint8_t>(body.size())}, body, bin_of(64, 5)}));

  const auto decoded = wire::decode_peer_message(SharedBytes::copy_of(message));
  REQUIRE(decoded.has_value());
  const auto& checkpoint = std::get<Checkpoint>(*decoded);
  CHECK(checkpoint.n == SequenceNumber{128});
  CHECK(checkpoint.root == filled<Digest>(4));
  CHECK(checkpoint.signed_bytes == SharedBytes::copy_of(message));
}

TEST_CASE("a packet has the bytes of the grammar, and MACs cover what is before the authenticator") {
  const Bytes covered = wire::encode_packet(filled<ClusterId>(1), Epoch{2}, ReplicaId{3}, {Bytes{4, 5}, Bytes{6}});
  CHECK(covered == joined({{0x96, 1}, bin_of(16, 1), {2, 3, 0x92, 0xc4, 2, 4, 5, 0xc4, 1, 6}}));
  Bytes frame = covered;
  wire::append_authenticator(frame, filled<Mac>(7).view());
  CHECK(frame == joined({covered, bin_of(16, 7)}));

  const auto packet = wire::decode_packet(SharedBytes::own(frame));
  REQUIRE(packet.has_value());
  CHECK(packet->cluster == filled<ClusterId>(1));
  CHECK(packet->epoch == Epoch{2});
  CHECK(packet->sender == wire::Sender{ReplicaId{3}});
  CHECK(packet->messages == std::vector{SharedBytes::own({4, 5}), SharedBytes::own({6})});
  CHECK(packet->authenticated == SharedBytes::copy_of(covered));
  CHECK(packet->authenticator == SharedBytes::copy_of(filled<Mac>(7).view()));

  const Bytes from_client = wire::encode_packet(filled<ClusterId>(1), Epoch{2}, filled<ClientId>(9), {Bytes{4}});
  CHECK(from_client == joined({{0x96, 1}, bin_of(16, 1), {2}, bin_of(32, 9), {0x91, 0xc4, 1, 4}}));
}

TEST_CASE("replies have the bytes of the grammar") {
  Reply reply{View{1}, SessionId{2}, RequestNumber{3}, ReplyStatus::failed, filled<Digest>(4), std::nullopt};
  const Bytes fields{0x96, 49, 1, 2, 3, 1};
  CHECK(wire::encode(ReplicaToClientMessage{reply}) == joined({fields, {0x91}, bin_of(32, 4)}));
  reply.result = SharedBytes{};
  CHECK(wire::encode(ReplicaToClientMessage{reply}) == joined({fields, {0xc4, 0}}));
}

TEST_CASE("fields survive the round trip") {
  Samples samples{11};
  const auto decode = [](const PeerMessage& message) {
    return wire::decode_peer_message(SharedBytes::own(wire::encode(message))).value();
  };
  const Status status{View{1},
                      false,
                      false,
                      0x8000'0000'0000'0005,
                      View{9},
                      SequenceNumber{2},
                      SequenceNumber{3},
                      {{SequenceNumber{4}, true, false, false},
                       {SequenceNumber{6}, false, true, false},
                       {SequenceNumber{67}, false, false, true}}};
  const auto status_again = std::get<Status>(decode(status));
  CHECK(status_again.view == status.view);
  CHECK_FALSE(status_again.active);
  CHECK(status_again.view_changes == status.view_changes);
  CHECK(status_again.rejoins_in == status.rejoins_in);
  CHECK(status_again.stable == status.stable);
  CHECK(status_again.executed == status.executed);
  CHECK(status_again.lacks == status.lacks);

  const LedgerRange range = samples.ledger_range();
  const auto range_again = std::get<LedgerRange>(decode(range));
  CHECK(range_again.first == range.first);
  CHECK(range_again.summary == range.summary);
  CHECK(range_again.digests == range.digests);

  const StableCheckpoint proof = samples.stable();
  const auto proof_again = std::get<StableCheckpoint>(decode(proof));
  CHECK(proof_again.n == proof.n);
  CHECK(proof_again.root == proof.root);
  REQUIRE(proof_again.votes.size() == proof.votes.size());
  for (std::size_t i = 0; i < proof.votes.size(); ++i) {
    CHECK(proof_again.votes[i].replica == proof.votes[i].replica);
    CHECK(proof_again.votes[i].signed_bytes == proof.votes[i].signed_bytes);
  }

  const PrePrepare proposal{View{7}, SequenceNumber{8}, samples.batch(), {}};
  const auto proposal_again = std::get<PrePrepare>(decode(proposal));
  CHECK(proposal_again.view == proposal.view);
  CHECK(proposal_again.n == proposal.n);
  CHECK(proposal_again.authentic.empty());
  CHECK(proposal_again.batch->digest == proposal.batch->digest);
  CHECK(proposal_again.batch->time == proposal.batch->time);
  REQUIRE(proposal_again.batch->bundles.size() == proposal.batch->bundles.size());
  for (std::size_t i = 0; i < proposal.batch->bundles.size(); ++i) {
    const Bundle& before = *proposal.batch->bundles[i];
    const Bundle& after = *proposal_again.batch->bundles[i];
    CHECK(after.client == before.client);
    CHECK(after.session == before.session);
    CHECK(after.low == before.low);
    CHECK(after.requests == before.requests);
    CHECK(after.digest == before.digest);
    CHECK(after.proof == before.proof);
  }
}

TEST_CASE("decoded parts are slices of the frame") {
  const SharedBytes frame =
      SharedBytes::own(wire::encode(ClientMessage{ReadRequest{RequestNumber{1}, SharedBytes::own(to_bytes("get k"))}}));
  const auto decoded = wire::decode_client_message(frame).value();
  const BytesView operation = std::get<ReadRequest>(decoded).operation.view();
  CHECK(operation.data() == frame.view().data() + frame.size() - operation.size());
}

TEST_CASE("request numbers ascend strictly within a bundle") {
  CHECK(decode_requests(1, {request(4, ""), request(5, "")}).has_value());
  CHECK(decode_requests(1, {request(5, ""), request(5, "")}).error() == WireError::not_canonical);
  CHECK(decode_requests(1, {request(5, ""), request(4, "")}).error() == WireError::not_canonical);
}

TEST_CASE("session 0 is for a single open_session without an operation") {
  const auto open = [](std::uint64_t n, std::string_view text) { return request(n, text, RequestKind::open_session); };
  CHECK(decode_requests(0, {open(1, "")}).has_value());
  CHECK(decode_requests(0, {open(1, "x")}).error() == WireError::not_canonical);
  CHECK(decode_requests(0, {open(1, ""), open(2, "")}).error() == WireError::not_canonical);
  CHECK(decode_requests(0, {request(1, "")}).error() == WireError::not_canonical);
  CHECK(decode_requests(3, {open(1, "")}).error() == WireError::not_canonical);
  CHECK(decode_requests(3, {request(1, ""), open(2, "")}).error() == WireError::not_canonical);
}

TEST_CASE("a bundle has 1 to max_bundle_requests requests of known kinds") {
  CHECK(decode_requests(1, {}).error() == WireError::not_canonical);
  CHECK(decode_requests(1, {request(1, "", static_cast<RequestKind>(3))}).error() == WireError::out_of_range);
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < Limits::max_bundle_requests; ++i) requests.push_back(request(i, ""));
  CHECK(decode_requests(1, requests).has_value());
  requests.push_back(request(Limits::max_bundle_requests, ""));
  CHECK(decode_requests(1, requests).error() == WireError::out_of_range);
}

TEST_CASE("operations, bundles and proofs have a largest size") {
  const std::string largest(Limits::max_operation_bytes, 'x');
  CHECK(decode_requests(1, {request(1, largest)}).has_value());
  CHECK(decode_requests(1, {request(1, largest + "x")}).error() == WireError::out_of_range);
  CHECK(decode_requests(1, {request(1, largest), request(2, largest)}).error() == WireError::too_large);

  const Bytes body = wire::encode_bundle_body(filled<ClientId>(1), SessionId{1}, RequestNumber{0}, {request(1, "")});
  const auto with_proof = [&](std::size_t size) {
    return wire::decode_bundle(SharedBytes::copy_of(body), SharedBytes::own(Bytes(size)));
  };
  CHECK(with_proof(1 + 64 * 16).has_value());
  CHECK(with_proof(2 + 64 * 16).error() == WireError::too_large);
}

TEST_CASE("the bodies of a batch together have a largest size") {
  const Bytes body = wire::encode_bundle_body(filled<ClientId>(1), SessionId{1}, RequestNumber{0},
                                              {request(1, std::string(Limits::max_operation_bytes, 'x'))});
  const BundlePtr bundle = wire::decode_bundle(SharedBytes::copy_of(body), {}).value();
  const auto with_bundles = [&](std::size_t count) {
    return wire::decode_batch(
        SharedBytes::own(wire::encode_batch({Timestamp{1}, std::vector<BundlePtr>(count, bundle), {}})));
  };
  CHECK(with_bundles(7).has_value());
  CHECK(with_bundles(8).error() == WireError::out_of_range);
}

TEST_CASE("the null batch has one form") {
  CHECK(wire::decode_batch(SharedBytes::own({0x92, 0, 0x90})).value()->digest == null_batch_digest());
  CHECK(wire::decode_batch(SharedBytes::own({0x92, 1, 0x90})).error() == WireError::not_canonical);
}

TEST_CASE("votes of a stable checkpoint ascend and name possible replicas") {
  const auto with_voters = [](std::initializer_list<std::uint32_t> replicas) {
    StableCheckpoint proof;
    for (const std::uint32_t replica : replicas) proof.votes.push_back({ReplicaId{replica}, {}});
    return wire::decode_stable(SharedBytes::own(wire::encode_stable(proof)));
  };
  CHECK(with_voters({0, 2, 63}).has_value());
  CHECK(with_voters({0, 0}).error() == WireError::not_canonical);
  CHECK(with_voters({2, 1}).error() == WireError::not_canonical);
  CHECK(with_voters({0, 64}).error() == WireError::out_of_range);
}

TEST_CASE("lacks of a status ascend above its stable checkpoint") {
  const auto with_lacks = [](std::initializer_list<std::uint64_t> numbers) -> std::optional<WireError> {
    Status status;
    status.stable = SequenceNumber{10};
    for (const std::uint64_t n : numbers) status.lacks.push_back({SequenceNumber{n}, true, true, true});
    const auto decoded = wire::decode_peer_message(SharedBytes::own(wire::encode(PeerMessage{status})));
    return decoded ? std::nullopt : std::optional{decoded.error()};
  };
  CHECK(with_lacks({11, 12, 74}) == std::nullopt);
  CHECK(with_lacks({10}) == WireError::not_canonical);
  CHECK(with_lacks({12, 12}) == WireError::not_canonical);
  CHECK(with_lacks({12, 11}) == WireError::not_canonical);
}

TEST_CASE("a status has the bytes of the grammar") {
  Status status{View{5}, false, false, 6, View{4}, SequenceNumber{128}, SequenceNumber{130}, {}};
  status.lacks.push_back({SequenceNumber{131}, true, false, true});
  Bytes bytes{0x98, 6, 5, 0, 6, 4, 0xcc, 128, 0xcc, 130, 0x91, 0x92, 0xcc, 131, 5};
  CHECK(wire::encode(PeerMessage{status}) == bytes);
  bytes[3] = 4;
  CHECK(wire::decode_peer_message(SharedBytes::copy_of(bytes)).error() == WireError::out_of_range);
  // Whoever has left the view has no primary to suspect.
  bytes[3] = 2;
  CHECK(wire::decode_peer_message(SharedBytes::copy_of(bytes)).error() == WireError::not_canonical);
  bytes[4] = 0;
  for (const bool suspects : {false, true}) {
    bytes[3] = suspects ? 3 : 1;
    const Status active = std::get<Status>(wire::decode_peer_message(SharedBytes::copy_of(bytes)).value());
    CHECK(active.active);
    CHECK(active.suspects == suspects);
    CHECK(wire::encode(PeerMessage{active}) == bytes);
  }
}

TEST_CASE("packets: version, sender, count of messages, size") {
  const auto decode = [](Bytes frame) {
    wire::append_authenticator(frame, filled<Mac>(0).view());
    return wire::decode_packet(SharedBytes::own(std::move(frame)));
  };
  const std::vector<Bytes> one{Bytes{1}};
  Bytes other_version = wire::encode_packet({}, Epoch{1}, ReplicaId{0}, one);
  other_version[1] = 2;
  CHECK(decode(other_version).error() == WireError::unknown_version);
  CHECK(decode(wire::encode_packet({}, Epoch{1}, ReplicaId{63}, one)).has_value());
  CHECK(decode(wire::encode_packet({}, Epoch{1}, ReplicaId{64}, one)).error() == WireError::out_of_range);
  CHECK(decode(wire::encode_packet({}, Epoch{1}, ReplicaId{0}, {})).error() == WireError::not_canonical);
  CHECK(decode(wire::encode_packet({}, Epoch{1}, ReplicaId{0}, std::vector<Bytes>(1024, Bytes{1}))).has_value());
  CHECK(decode(wire::encode_packet({}, Epoch{1}, ReplicaId{0}, std::vector<Bytes>(1025, Bytes{1}))).error() ==
        WireError::out_of_range);
  CHECK(wire::decode_packet(SharedBytes::own(Bytes(Limits::max_packet_bytes + 1))).error() == WireError::too_large);
}

TEST_CASE("counts beyond the input are refused before anything is reserved for them") {
  // 4096 bundles, 1024 requests, 65536 digests, 1024 messages are announced; none of them follows.
  const Bytes batch{0x92, 1, 0xdc, 0x10, 0x00};
  CHECK(wire::decode_batch(SharedBytes::own(batch)).error() == WireError::truncated);
  const Bytes body = joined({{0x94}, bin_of(32, 1), {1, 1, 0xdc, 0x04, 0x00}});
  CHECK(wire::decode_bundle(SharedBytes::own(body), {}).error() == WireError::truncated);
  const Bytes packet = joined({{0x96, 1}, bin_of(16, 1), {1, 0, 0xdc, 0x04, 0x00}});
  CHECK(wire::decode_packet(SharedBytes::own(packet)).error() == WireError::truncated);
  // A length of 4 GB where 1 MB is the limit.
  const Bytes read{0x93, 34, 1, 0xc6, 0xff, 0xff, 0xff, 0xff};
  CHECK(wire::decode_client_message(SharedBytes::own(read)).error() == WireError::out_of_range);
}

TEST_CASE("the type inside a signed body is the type outside") {
  Bytes body = wire::encode_checkpoint_body({Epoch{1}, ReplicaId{3}, SequenceNumber{128}, filled<Digest>(4)});
  body[1] = 5;
  Writer writer{200};
  const Bytes mixed = writer.array(3).type(MessageType::checkpoint).bin(body).put(filled<Signature>(1)).finish();
  CHECK(wire::decode_signed(SharedBytes::copy_of(mixed)).error() == WireError::unknown_message);
  CHECK(wire::decode_signed(SharedBytes::own(wire::encode_signed(body, filled<Signature>(1)))).error() ==
        WireError::unknown_message);
}

TEST_CASE("every error has a name of its own") {
  std::set<std::string> names;
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(WireError::count_); ++i) {
    names.insert(wire::to_string(static_cast<WireError>(i)));
  }
  CHECK(names.size() == static_cast<std::size_t>(WireError::count_));
}

}  // namespace
}  // namespace pbft::testing
