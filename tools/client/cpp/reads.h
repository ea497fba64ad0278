// Unordered reads: asked of all replicas, believed when a quorum gives the same answer, otherwise handed back to be
// ordered like a write. One thread.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "tools/client/cpp/outbox.h"
#include "tools/client/cpp/times.h"
#include "tools/client/cpp/votes.h"

namespace pbft::client {

class Reads {
 public:
  // The budget must outlive this.
  Reads(Quorum quorum, const CoreOptions& options, ResultBudget& budget);

  // `number` is unique among all ReadRequests of this client.
  void start(Ticket ticket, RequestNumber number, SharedBytes operation);
  void abandon(Ticket ticket);
  // False: no read has this number.
  bool receive(const ReadReply& reply, ReplicaId from);
  void advance(std::uint64_t now_us, Outbox& outbox);
  [[nodiscard]] std::uint64_t next_wakeup_us() const;

  [[nodiscard]] std::vector<Completion> take_completions();
  struct Fallback {
    Ticket ticket;
    SharedBytes operation;
  };
  // Reads on which the replicas did not agree (in time): they are no longer handled here.
  [[nodiscard]] std::vector<Fallback> take_fallbacks();

 private:
  struct Read {
    Ticket ticket;
    SharedBytes operation;
    Votes votes;
    bool sent = false;
    std::uint64_t fall_back_at = never;
    std::uint64_t due = never;  // of the next resend
    std::uint64_t interval = 0;
    [[nodiscard]] std::uint64_t wakeup() const { return std::min(fall_back_at, due); }
  };
  void send(RequestNumber number, Read& read, Outbox& outbox);
  void schedule(RequestNumber number, Read& read, std::uint64_t due);
  void fall_back(RequestNumber number);
  void remove(RequestNumber number);

  Quorum quorum_;
  CoreOptions options_;
  ResultBudget* budget_;
  std::uint64_t now_ = 0;
  std::map<RequestNumber, Read> reads_;
  std::map<Ticket, RequestNumber> numbers_;
  std::set<RequestNumber> unsent_;
  std::set<std::pair<std::uint64_t, RequestNumber>> schedule_;  // Invariant: (wakeup, number) of every read sent.
  std::vector<Completion> completions_;
  std::vector<Fallback> fallbacks_;
};

}  // namespace pbft::client
