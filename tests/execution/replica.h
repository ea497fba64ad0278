// An executor on a real store, with what a core would give it.
#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/execution/executor.h"
#include "node/pbft/digests.h"
#include "plugins/kv/kv.h"
#include "storage/client_records.h"
#include "tests/execution/store_fixture.h"

namespace pbft::execution {

inline ClientId client_id(std::uint8_t number) {
  ClientId id;
  id.bytes.fill(number);
  return id;
}

inline const ClientId alice = client_id(1);
inline const ClientId bob = client_id(2);

struct Made {  // a request to be
  RequestNumber::rep number;
  std::string operation;
  RequestKind kind = RequestKind::execute;
};

inline BundlePtr bundle(const ClientId& client, SessionId::rep session, const std::vector<Made>& requests) {
  auto made = std::make_shared<Bundle>();
  made->client = client;
  made->session = SessionId{session};
  for (const Made& r : requests) {
    made->requests.push_back({RequestNumber{r.number}, r.kind, SharedBytes::own(to_bytes(r.operation))});
  }
  made->body = SharedBytes::own(to_bytes("body"));
  made->digest = bundle_digest(made->body.view());
  return made;
}

// An executor on a real store, and the batches that a core would give it: everything in a bundle runs.
struct Replica {
  StoreFixture disk;
  const pbft_plugin_v1* table;
  std::size_t table_bytes;
  std::unique_ptr<Plugin> plugin;
  std::unique_ptr<Executor> executor;
  std::uint64_t n = 0;
  Digest head = genesis_ledger_head();

  explicit Replica(const pbft_plugin_v1* which = pbft_kv_plugin(), std::size_t kept = ResultBudget::table_bytes)
      : table(which), table_bytes(kept) {
    start();
  }

  void start() {
    executor.reset();
    plugin = *Plugin::from_table(table, "");
    auto opened = Executor::open(*disk.store, *plugin, table_bytes);
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    executor = *std::move(opened);
  }
  void restart() {
    executor.reset();
    disk.reopen();
    start();
  }

  Execute effect(const std::vector<BundlePtr>& bundles) const {
    Execute made;
    made.n = SequenceNumber{n + 1};
    made.view = View{3};
    made.time = Timestamp{1000 * (n + 1)};
    made.batch = std::make_shared<const Batch>(Batch{made.time, bundles, batch_digest(made.time, bundles)});
    made.ledger_head = ledger_head(head, made.n, made.batch->digest);
    for (std::uint32_t b = 0; b < bundles.size(); ++b) {
      for (std::uint32_t r = 0; r < bundles[b]->requests.size(); ++r) {
        RunRequest run;
        run.bundle = b;
        run.request = r;
        made.run.push_back(run);
      }
    }
    return made;
  }
  std::vector<OutgoingReply> run(const Execute& what) {
    auto replies = executor->execute(what);
    INFO((replies ? "" : replies.error().message));
    REQUIRE(replies);
    n = what.n.value;
    head = what.ledger_head;
    return *std::move(replies);
  }
  std::vector<OutgoingReply> run(const std::vector<BundlePtr>& bundles) { return run(effect(bundles)); }

  // Opens the session with the next sequence number as its id.
  SessionId open_session(const ClientId& client, RequestNumber::rep number) {
    Execute what = effect({bundle(client, 0, {{number, "", RequestKind::open_session}})});
    const SessionId session{what.n.value};
    Bytes id(8);
    id[7] = static_cast<std::uint8_t>(session.value);
    what.run[0].decided = std::pair(ReplyStatus::ok, id);
    what.clients.push_back({client, RequestNumber{number}, session});
    what.sessions.push_back({client, session, RequestNumber{number}, RequestNumber{1}, what.n});
    const auto replies = run(what);
    REQUIRE(replies.size() == 1);
    CHECK(replies[0].session == SessionId{0});
    CHECK(replies[0].result == SharedBytes::own(id));
    return session;
  }

  std::string state(const std::string& key) const {
    const auto value = disk.store->state_get(as_bytes(key));
    REQUIRE(value);
    return *value ? std::string(as_text(**value)) : "(none)";
  }
  storage::ClientRecords client_records() const {
    auto records = storage::load_client_records(*disk.store);
    REQUIRE(records);
    return *std::move(records);
  }
  std::string cached(const ClientId& client, SessionId session, RequestNumber::rep number) const {
    const auto reply = executor->cached(client, session, RequestNumber{number});
    if (!reply) return "(none)";
    CHECK(reply->client == client);
    CHECK(reply->session == session);
    CHECK(reply->number == RequestNumber{number});
    if (reply->status == ReplyStatus::unknown_session) return "lost:" + std::string(as_text(reply->result.view()));
    return (reply->status == ReplyStatus::ok ? "ok:" : "failed:") + std::string(as_text(reply->result.view()));
  }
};

// Family clients with these records and nothing else.
inline std::map<Bytes, Bytes> as_stored(const storage::ClientRecords& records) {
  std::map<Bytes, Bytes> family;
  for (const ClientUpdate& client : records.clients) {
    family[storage::client_key(client.client)] = storage::encode_client(client);
  }
  for (const storage::SessionRecord& record : records.sessions) {
    const auto& [session, replies] = record;
    family[storage::session_key(session.client, session.session)] = storage::encode_session(record);
    for (const storage::CachedReply& reply : replies) {
      if (!storage::has_own_record(reply)) continue;
      family[storage::result_key(session.client, session.session, reply.number)] = reply.result;
    }
  }
  return family;
}

// The state of `from`, just executed, becomes that of `to`, as a transfer would do it.
inline void transfer(Replica& from, Replica& to) {
  const auto summary = from.disk.store->take_checkpoint(SequenceNumber{from.n}, Epoch{1}, Digest{});
  REQUIRE(summary);
  const auto tree = from.disk.store->tree_at(summary->n, ReplicaId{0});
  REQUIRE(tree);
  REQUIRE(*tree);
  storage::Store& store = *to.disk.store;
  const auto missing = store.plan_transfer(*summary, (*tree)->leaves);
  REQUIRE(missing);
  for (const std::uint32_t bucket : *missing) {
    BucketStaged report;
    std::uint32_t skip = 0;
    do {
      const FetchBucket request{summary->n, bucket, skip, store.bucket_hashes(bucket, skip).value()};
      const auto part = from.disk.store->bucket_part(request, ReplicaId{0}).value();
      REQUIRE(part);
      report = store.stage_bucket(*part).value();
      skip += report.pairs;
    } while (report.outcome == BucketStaged::Outcome::more);
    REQUIRE(report.outcome == BucketStaged::Outcome::whole);
  }
  REQUIRE(store.install_state({summary->n, checkpoint_root(*summary), {}}, *summary));
  REQUIRE(to.executor->reload());
  to.n = from.n;
  to.head = from.head;
}

// The operation that gives a result of so many bytes.
inline std::string ask_result(std::size_t size) {
  return "result " + std::to_string(size);
}

inline std::string text(const OutgoingReply& reply) {
  return std::string(as_text(reply.result.view()));
}

}  // namespace pbft::execution
