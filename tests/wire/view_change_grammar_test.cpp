// ViewChange, NewView and ClientReport: the encodings of the README, byte by byte, and each rule of validity that the
// decoder holds.
#include <catch2/catch.hpp>

#include "tests/wire/literal.h"
#include "tests/wire/samples.h"

namespace pbft::testing {
namespace {

using wire::WireError;

const wire::Signer signer{Epoch{1}, ReplicaId{3}};

Bytes signed_message(const Bytes& body) {
  return wire::encode_signed(body, filled<Signature>(5));
}

SlotMark mark(std::uint64_t n, std::uint8_t digest, std::uint64_t view = 0) {
  return {SequenceNumber{n}, filled<Digest>(digest), View{view}};
}

std::optional<WireError> problem_of_view_change(const ViewChange& message) {
  return problem(signed_message(wire::encode_view_change_body(signer, message)));
}

ViewChange signed_view_change(ViewChange message, std::uint32_t replica) {
  const wire::Signer by{Epoch{1}, ReplicaId{replica}};
  message.signed_bytes = SharedBytes::own(signed_message(wire::encode_view_change_body(by, message)));
  return message;
}

std::optional<WireError> problem_of_new_view(const std::vector<NewView::Signed>& view_changes) {
  return problem(signed_message(wire::encode_new_view_body(Epoch{1}, {View{7}, ReplicaId{3}, view_changes, {}})));
}

TEST_CASE("a view-change has the bytes of the grammar") {
  ViewChange message{View{7}, std::nullopt, {mark(129, 1, 6)}, {mark(129, 1, 6), mark(129, 2, 4)}, {}};
  const Bytes marks = joined({{0x91, 0x93, 0xcc, 129},
                              bin_of(32, 1),
                              {6, 0x92, 0x93, 0xcc, 129},
                              bin_of(32, 1),
                              {6},
                              {0x93, 0xcc, 129},
                              bin_of(32, 2),
                              {4}});
  CHECK(wire::encode_view_change_body(signer, message) == joined({{0x97, 12, 1, 3, 7, 0xc0}, marks}));

  message.stable = StableCheckpoint{SequenceNumber{128}, filled<Digest>(9), {{ReplicaId{2}, SharedBytes::own({8})}}};
  const Bytes body = wire::encode_view_change_body(signer, message);
  CHECK(body == joined({{0x97, 12, 1, 3, 7, 0x93, 0xcc, 128}, bin_of(32, 9), {0x91, 0x92, 2, 0xc4, 1, 8}, marks}));
  const std::uint8_t low = static_cast<std::uint8_t>(body.size());
  CHECK(signed_message(body) == joined({{0x93, 12, 0xc4, low}, body, bin_of(64, 5)}));
}

TEST_CASE("a view-change is what its signed bytes say, and encodes as them") {
  ViewChange message{View{7}, std::nullopt, {mark(129, 1, 6)}, {mark(130, 2, 4)}, {}};
  message.stable = StableCheckpoint{SequenceNumber{128}, filled<Digest>(9), {{ReplicaId{2}, SharedBytes::own({8})}}};
  message = signed_view_change(message, 3);
  const SharedBytes bytes = SharedBytes::own(wire::encode(PeerMessage{message}));
  CHECK(bytes == message.signed_bytes);
  const auto decoded = std::get<ViewChange>(wire::decode_peer_message(bytes).value());
  CHECK(decoded.view == message.view);
  CHECK(decoded.low() == SequenceNumber{128});
  REQUIRE(decoded.stable);
  CHECK(decoded.stable->root == filled<Digest>(9));
  REQUIRE(decoded.stable->votes.size() == 1);
  CHECK(decoded.stable->votes[0].replica == ReplicaId{2});
  CHECK(decoded.stable->votes[0].signed_bytes == SharedBytes::own({8}));
  CHECK(decoded.prepared == message.prepared);
  CHECK(decoded.voted == message.voted);
  CHECK(decoded.signed_bytes.view().data() == bytes.view().data());
  const auto signed_one = wire::decode_signed(bytes).value();
  CHECK(wire::decode_signer(signed_one.body).value().replica == ReplicaId{3});
}

TEST_CASE("P ascends in n, Q in n and digest, without duplicates") {
  const auto prepared = [](std::vector<SlotMark> marks) {
    return problem_of_view_change(ViewChange{View{1}, {}, marks, {}, {}});
  };
  const auto voted = [](std::vector<SlotMark> marks) {
    return problem_of_view_change(ViewChange{View{1}, {}, {}, marks, {}});
  };
  CHECK(prepared({mark(1, 9), mark(2, 1)}) == std::nullopt);
  CHECK(prepared({mark(2, 1), mark(1, 9)}) == WireError::not_canonical);
  CHECK(prepared({mark(1, 1), mark(1, 2)}) == WireError::not_canonical);
  CHECK(voted({mark(1, 1), mark(1, 2), mark(2, 0)}) == std::nullopt);
  CHECK(voted({mark(1, 2), mark(1, 1)}) == WireError::not_canonical);
  CHECK(voted({mark(1, 1, 3), mark(1, 1, 4)}) == WireError::not_canonical);
  CHECK(voted({mark(2, 1), mark(1, 2)}) == WireError::not_canonical);
}

TEST_CASE("a new-view has the bytes of the grammar") {
  const ViewChange zero = signed_view_change({View{7}, {}, {}, {}, {}}, 0);
  const ViewChange two = signed_view_change({View{7}, {}, {}, {}, {}}, 2);
  const Bytes inner{zero.signed_bytes.view().begin(), zero.signed_bytes.view().end()};
  const Bytes other{two.signed_bytes.view().begin(), two.signed_bytes.view().end()};
  const auto size = static_cast<std::uint8_t>(inner.size());
  NewView message{View{7}, ReplicaId{3}, {{ReplicaId{0}, zero}, {ReplicaId{2}, two}}, {}};
  const Bytes body = wire::encode_new_view_body(Epoch{1}, message);
  CHECK(body == joined({{0x95, 13, 1, 3, 7, 0x92, 0x92, 0, 0xc4, size}, inner, {0x92, 2, 0xc4, size}, other}));

  message.signed_bytes = SharedBytes::own(signed_message(body));
  const SharedBytes bytes = SharedBytes::own(wire::encode(PeerMessage{message}));
  CHECK(bytes == message.signed_bytes);
  const auto decoded = std::get<NewView>(wire::decode_peer_message(bytes).value());
  CHECK(decoded.view == View{7});
  CHECK(decoded.primary == ReplicaId{3});
  CHECK(decoded.signed_bytes == bytes);
  REQUIRE(decoded.view_changes.size() == 2);
  CHECK(decoded.view_changes[1].replica == ReplicaId{2});
  CHECK(decoded.view_changes[1].message.view == View{7});
  const BytesView slice = decoded.view_changes[1].message.signed_bytes.view();
  CHECK(SharedBytes::copy_of(slice) == two.signed_bytes);
  CHECK(slice.data() > bytes.view().data());
  CHECK(slice.data() + slice.size() < bytes.view().data() + bytes.size());
}

TEST_CASE("the view-changes of a new-view ascend by replica and are read to their end") {
  const auto by = [](std::uint32_t replica) {
    return NewView::Signed{ReplicaId{replica}, signed_view_change({View{7}, {}, {}, {}, {}}, replica % 64)};
  };
  CHECK(problem_of_new_view({}) == std::nullopt);
  CHECK(problem_of_new_view({by(0), by(1), by(63)}) == std::nullopt);
  CHECK(problem_of_new_view({by(1), by(1)}) == WireError::not_canonical);
  CHECK(problem_of_new_view({by(1), by(0)}) == WireError::not_canonical);
  CHECK(problem_of_new_view({by(64)}) == WireError::out_of_range);
  const auto with_bytes = [&](Bytes bytes) {
    NewView::Signed one = by(1);
    one.message.signed_bytes = SharedBytes::own(std::move(bytes));
    return problem_of_new_view({by(0), one});
  };
  CHECK(with_bytes({1, 2, 3}) == WireError::wrong_type);
  CHECK(with_bytes(signed_message(wire::encode_client_report_body({signer, {}}))) == WireError::wrong_arity);
  const ViewChange unordered{View{7}, {}, {mark(2, 1), mark(1, 1)}, {}, {}};
  CHECK(with_bytes(signed_message(wire::encode_view_change_body(signer, unordered))) == WireError::not_canonical);
}

TEST_CASE("a client report has the bytes of the grammar") {
  const Bytes body = wire::encode_client_report_body({signer, filled<ClientId>(6)});
  CHECK(body == joined({{0x94, 18, 1, 3}, bin_of(32, 6)}));
  const Bytes message = signed_message(body);
  CHECK(message == joined({{0x93, 18, 0xc4, static_cast<std::uint8_t>(body.size())}, body, bin_of(64, 5)}));
  const auto decoded = std::get<ClientReport>(wire::decode_peer_message(SharedBytes::copy_of(message)).value());
  CHECK(decoded.client == filled<ClientId>(6));
  CHECK(decoded.signed_bytes == SharedBytes::copy_of(message));
}

TEST_CASE("signed messages have a largest size, each type its own") {
  const auto sized = [](std::uint8_t type, std::size_t size) {
    Bytes body(size);
    body[0] = 0x95;
    body[1] = type;
    const auto decoded = wire::decode_signed(SharedBytes::own(signed_message(body)));
    return decoded ? std::nullopt : std::optional{decoded.error()};
  };
  constexpr std::size_t around = 2 + 2 + (2 + Signature::size);  // of a small body
  for (const std::uint8_t type : {4, 18}) {
    CHECK(sized(type, 256 - around) == std::nullopt);
    CHECK(sized(type, 256 - around + 1) == WireError::too_large);
  }
  CHECK(sized(12, Limits::max_new_view_bytes - around - 3) == std::nullopt);
  CHECK(sized(12, Limits::max_new_view_bytes - around - 2) == WireError::too_large);
  CHECK(sized(13, Limits::max_new_view_bytes) == std::nullopt);
  CHECK(sized(13, Limits::max_new_view_bytes + 1024) == WireError::too_large);
  CHECK(sized(5, 100) == WireError::unknown_message);
}

TEST_CASE("the view-changes of a new-view together have a largest size") {
  ViewChange large{View{7}, {}, {}, {}, {}};
  for (std::uint64_t n = 0; large.voted.size() < 50'000; ++n) large.voted.push_back(mark(n, 1));
  std::vector<NewView::Signed> view_changes;
  std::size_t bytes = 0;
  for (std::uint32_t i = 0;; ++i) {
    NewView::Signed one{ReplicaId{i}, signed_view_change(large, i)};
    bytes += one.message.signed_bytes.size();
    view_changes.push_back(std::move(one));
    if (bytes > Limits::max_new_view_bytes) break;
  }
  // The last one is made just small enough, then just too large.
  const auto with_rest = [&](std::size_t rest) {
    NewView::Signed& last = view_changes.back();
    const std::size_t others = bytes - last.message.signed_bytes.size();
    ViewChange cut = large;
    cut.stable = StableCheckpoint{SequenceNumber{1}, {}, {{ReplicaId{0}, {}}, {ReplicaId{1}, {}}}};
    const std::size_t whole = signed_view_change(cut, 0).signed_bytes.size();
    constexpr std::size_t mark_bytes = 1 + 3 + 34 + 1;
    const std::size_t wanted = Limits::max_new_view_bytes - others + rest;
    REQUIRE(whole > wanted);
    cut.voted.resize(cut.voted.size() - (whole - wanted) / mark_bytes - 2);
    std::size_t missing = wanted - signed_view_change(cut, 0).signed_bytes.size();
    REQUIRE(missing < 256);
    cut.stable->votes[0].signed_bytes = SharedBytes::own(Bytes(missing));
    NewView::Signed shortened{last.replica, signed_view_change(cut, 0)};
    REQUIRE(others + shortened.message.signed_bytes.size() == Limits::max_new_view_bytes + rest);
    std::vector<NewView::Signed> all{view_changes.begin(), view_changes.end() - 1};
    all.push_back(std::move(shortened));
    return problem_of_new_view(all);
  };
  CHECK(with_rest(0) == std::nullopt);
  CHECK(with_rest(1) == WireError::out_of_range);
}

TEST_CASE("counts of marks and view-changes beyond the input are refused before anything is reserved") {
  const Bytes head{0x97, 12, 1, 3, 7, 0xc0};
  // 4 billion marks are announced; then as many as there are bytes.
  CHECK(wire::decode_view_change_body(SharedBytes::own(joined({head, {0xdd, 0xff, 0xff, 0xff, 0xff}}))).error() ==
        WireError::truncated);
  const Bytes million = joined({head, {0xdd, 0x00, 0x0f, 0x42, 0x40}, Bytes(1'000'000, 0x90)});
  CHECK(wire::decode_view_change_body(SharedBytes::own(million)).error() == WireError::truncated);
  CHECK(wire::decode_new_view_body(SharedBytes::own({0x95, 13, 1, 3, 7, 0xdc, 0, 65})).error() ==
        WireError::out_of_range);
}

}  // namespace
}  // namespace pbft::testing
