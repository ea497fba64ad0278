// Questions that every replica answers for itself, without any agreement. One thread.
#pragma once

#include <map>
#include <vector>

#include "tools/client/cpp/outbox.h"
#include "tools/client/cpp/times.h"

namespace pbft::client {

class Surveys {
 public:
  Surveys(Quorum quorum, const CoreOptions& options);

  // Asks with an InfoRequest where `operation` is absent, otherwise with a ReadRequest.
  void start(Ticket ticket, RequestNumber number, std::optional<SharedBytes> operation, std::uint64_t deadline_us);
  // One answer of a replica; the first one counts.
  void receive(RequestNumber number, ReplicaId from, Outcome answer);
  void advance(std::uint64_t now_us, Outbox& outbox);
  [[nodiscard]] std::uint64_t next_wakeup_us() const;
  [[nodiscard]] std::vector<SurveyCompletion> take_completions();

 private:
  struct Survey {
    Ticket ticket;
    std::optional<SharedBytes> operation;
    std::uint64_t deadline = 0;
    std::uint64_t due = 0;  // of the next (re)send to those that have not answered
    std::uint64_t interval = 0;
    std::vector<std::optional<Outcome>> answers;
    [[nodiscard]] bool complete() const;
  };

  Quorum quorum_;
  CoreOptions options_;
  std::uint64_t now_ = 0;
  std::map<RequestNumber, Survey> surveys_;
};

}  // namespace pbft::client
