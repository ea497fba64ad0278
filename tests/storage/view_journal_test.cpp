// Views, and a replica that comes back without its memory: what is remembered of them.
#include "storage/fields.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;

namespace {

// The bytes that a replica signs; `salt` makes different ones for one view.
ViewChange view_change(std::uint64_t view, std::uint8_t salt = 0) {
  ViewChange message;
  message.view = View{view};
  SlotMark mark{SequenceNumber{1}, {}, View{0}};
  mark.digest.bytes[0] = salt;
  message.voted.push_back(mark);
  const Bytes body = wire::encode_view_change_body({Epoch{1}, ReplicaId{2}}, message);
  message.signed_bytes = SharedBytes::own(wire::encode_signed(body, Signature{}));
  return message;
}

NewView new_view(std::uint64_t view, std::uint8_t salt = 0) {
  NewView message;
  message.view = View{view};
  message.primary = ReplicaId{static_cast<std::uint32_t>(view % 4)};
  message.view_changes.push_back({ReplicaId{2}, view_change(view, salt)});
  const Bytes body = wire::encode_new_view_body(Epoch{1}, message);
  message.signed_bytes = SharedBytes::own(wire::encode_signed(body, Signature{}));
  return message;
}

}  // namespace

TEMPLATE_TEST_CASE("the last view-change and new-view are remembered as they were signed", "[journal]", MemoryDisk,
                   RocksDisk) {
  StoreOn<TestType> fixture;
  CHECK_FALSE(fixture.restart().view_change);
  CHECK_FALSE(fixture.restart().new_view);
  must(fixture.store->persist({PersistViewChange{view_change(1)}}));
  Recovered recovered = fixture.restart();
  REQUIRE(recovered.view_change);
  CHECK(recovered.view_change->view == View{1});
  CHECK(recovered.view_change->voted == view_change(1).voted);
  CHECK(recovered.view_change->signed_bytes == view_change(1).signed_bytes);
  CHECK_FALSE(recovered.new_view);

  must(fixture.store->persist({PersistNewView{new_view(1)}, PersistViewChange{view_change(300)}}));
  recovered = fixture.restart();
  CHECK(recovered.view_change->view == View{300});
  REQUIRE(recovered.new_view);
  CHECK(recovered.new_view->view == View{1});
  CHECK(recovered.new_view->primary == ReplicaId{1});
  CHECK(recovered.new_view->signed_bytes == new_view(1).signed_bytes);

  must(fixture.store->persist({PersistNewView{new_view(301)}}));  // entered without a view-change of its own
  must(fixture.store->truncate(SequenceNumber{100}));
  CHECK(fixture.restart().new_view->view == View{301});
  CHECK(fixture.restart().view_change->view == View{300});
}

TEMPLATE_TEST_CASE("no view gets a second view-change or new-view, and none goes back", "[journal]", MemoryDisk,
                   RocksDisk) {
  StoreOn<TestType> fixture;
  const auto refused = [&](const std::vector<JournalRecord>& records) {
    CHECK(refusal(fixture.store->persist(records)).kind == Kind::mismatch);
  };
  refused({PersistViewChange{view_change(5)}, PersistViewChange{view_change(5, 1)}});
  CHECK_FALSE(fixture.restart().view_change);  // nothing of the turn was written
  must(fixture.store->persist({PersistViewChange{view_change(5)}}));
  must(fixture.store->persist({PersistNewView{new_view(5)}}));
  fixture.restart();
  must(fixture.store->persist({PersistViewChange{view_change(5)}, PersistNewView{new_view(5)}}));  // the same again
  refused({PersistViewChange{view_change(5, 1)}});
  refused({PersistNewView{new_view(5, 1)}});
  refused({PersistViewChange{view_change(4)}});
  refused({PersistNewView{new_view(4)}});
  must(fixture.store->persist({PersistViewChange{view_change(7)}}));
  refused({PersistNewView{new_view(6)}});  // that view was left
  must(fixture.store->persist({PersistNewView{new_view(8)}}));
  refused({PersistViewChange{view_change(7)}});
  ViewChange unsigned_one = view_change(9);
  unsigned_one.signed_bytes = {};
  refused({PersistViewChange{unsigned_one}});
  const Recovered recovered = fixture.restart();
  CHECK(recovered.view_change->view == View{7});
  CHECK(recovered.new_view->view == View{8});
}

TEMPLATE_TEST_CASE("rejoining is remembered until it is done", "[journal]", MemoryDisk, RocksDisk) {
  StoreOn<TestType> fixture;
  CHECK_FALSE(fixture.restart().rejoin);
  must(fixture.store->persist({PersistRejoin{{}, {}, false, false}}));
  std::optional<PersistRejoin> rejoin = fixture.restart().rejoin;
  REQUIRE(rejoin);
  CHECK_FALSE(rejoin->known);
  must(fixture.store->persist({PersistRejoin{View{3}, SequenceNumber{512}, true, false}}));
  must(fixture.store->truncate(SequenceNumber{100}));
  rejoin = fixture.restart().rejoin;
  REQUIRE(rejoin);
  CHECK(rejoin->view == View{3});
  CHECK(rejoin->above == SequenceNumber{512});
  CHECK(rejoin->known);
  CHECK_FALSE(rejoin->done);
  must(fixture.store->persist({PersistRejoin{View{3}, SequenceNumber{512}, true, true}}));
  CHECK_FALSE(fixture.restart().rejoin);
}

TEST_CASE("records of views that cannot be read are corruption", "[journal]") {
  StoreOn<MemoryDisk> fixture;
  must(fixture.store->persist({PersistViewChange{view_change(1)}, PersistNewView{new_view(1)}, PersistRejoin{}}));
  const Bytes key = GENERATE(view_key(ViewKind::view_change), view_key(ViewKind::new_view), rejoin_key());
  WriteBatch batch;
  batch.put(Family::journal, key, to_bytes("no such record"));
  must(fixture.disk.engine()->write(batch, Sync::no));
  CHECK(refusal(fixture.store->recover()).kind == Kind::corrupt);
}

TEMPLATE_TEST_CASE("every batch that a slot's marks name must be there", "[journal]", MemoryDisk, RocksDisk) {
  StoreOn<TestType> fixture;
  const SequenceNumber n{1};
  const BatchPtr first = make_batch(10, "first");
  const BatchPtr second = make_batch(20, "second");
  must(fixture.store->persist({PersistBatch{n, first}, PersistAccepted{View{0}, n, first->digest},
                               PersistAccepted{View{1}, n, null_batch_digest()}, PersistBatch{n, second},
                               PersistAccepted{View{2}, n, second->digest}, PersistPrepared{View{0}, n, first->digest},
                               PersistPrepared{View{1}, n, null_batch_digest()}}));
  const RecoveredSlot slot = fixture.restart().slots.at(n);
  CHECK(slot.accepted ==
        std::map<View, Digest>{{View{0}, first->digest}, {View{1}, null_batch_digest()}, {View{2}, second->digest}});
  CHECK(slot.prepared->view == View{1});
  CHECK(slot.prepared->digest == null_batch_digest());
  CHECK(slot.batches.size() == 3);
  WriteBatch batch;
  batch.erase(Family::journal, held_key(n, first->digest));  // of the mark of the lowest view
  must(fixture.disk.engine()->write(batch, Sync::no));
  CHECK(refusal(fixture.store->recover()).kind == Kind::corrupt);
}
