// Runs committed batches through the plugin. Owns the cached replies (the client table's results); the core owns
// the decision what is run. One thread.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/execution/plugin.h"
#include "node/execution/result_budget.h"
#include "node/pbft/effects.h"
#include "storage/store.h"

namespace pbft::execution {

// A reply that is to go to its client's session.
struct OutgoingReply {
  ClientId client;
  View view;
  SessionId session;  // 0 for open_session: then the route is that of the open_session number
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  SharedBytes result;
};

class Executor {
 public:
  // Loads the cached replies from the store. `store` and `plugin` must outlive it. Tests give a table that is full
  // sooner (ReplyCache).
  [[nodiscard]] static storage::Result<std::unique_ptr<Executor>> open(
      storage::Store& store, Plugin& plugin, std::size_t table_bytes = ResultBudget::table_bytes);
  ~Executor();

  // Reads from the store again what was executed last and the cached replies: after a state was installed there, which
  // also ends an earlier error. While the store's state is damaged there are no replies, here as after open.
  [[nodiscard]] storage::Result<void> reload();

  // Runs the batch after the last one that was executed. Runs the listed requests in order, each seeing the writes of
  // those before it, and gives state, results, client table and ledger entry to the store in one piece. A request whose
  // plugin call fails or exceeds a limit leaves no change behind and has a failed result; the same on every replica. So
  // has one whose result finds no room (ResultBudget), or that asks for too much (WorkBudget). After an error nothing
  // of the batch is written and every further call gives the same error: the replica must stop.
  [[nodiscard]] storage::Result<std::vector<OutgoingReply>> execute(const Execute& effect);

  // The plugin's answer from the state as executed now; what it costs counts for `work`. What stops execute is an error
  // here, and is not to be answered.
  [[nodiscard]] storage::Result<ReadReply> try_query(const ClientId& client, RequestNumber number, BytesView operation,
                                                     WorkBudget& work) const;
  // The same, alone; where that is an error, the status is busy, which no client counts as an answer.
  [[nodiscard]] ReadReply query(const ClientId& client, RequestNumber number, BytesView operation) const;

  // The cached reply, or nothing. One that was forgotten for want of room says unknown_session. Session 0 asks for the
  // reply to the client's open_session request of that number, which is there as long as the session is. The view of
  // the reply is not set.
  [[nodiscard]] std::optional<OutgoingReply> cached(const ClientId& client, SessionId session,
                                                    RequestNumber number) const;

 private:
  struct Impl;
  explicit Executor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::execution
