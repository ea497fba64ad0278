// The client's protocol without I/O: sessions, request numbers, bundling, retransmission, f+1 matching replies for
// writes and Q matching answers for reads. Deterministic; time and frames come in, frames and outcomes go out. The
// library runs it over ZeroMQ, the simulator over its network. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/pbft/messages.h"

namespace pbft::client {

using Ticket = Number<struct TicketTag>;  // names one submitted operation in this process

enum class OutcomeKind : std::uint8_t {
  ok,
  failed,     // the operation ran and failed; result is the plugin's message
  refused,    // the cluster does not take it; it has no effect. message says why
  timed_out,  // the deadline passed; the operation may still take effect
  busy,       // the same, and f+1 replicas said lately that they have more work than they can take
  unknown,    // it was sent, and its result is lost; it may have taken effect
};
struct Outcome {
  OutcomeKind kind = OutcomeKind::ok;
  Bytes result;
  std::string message;
};

struct CoreOptions {
  std::uint64_t session_window = 1024;  // as in the genesis
  std::size_t max_bundle_requests = 256;
  std::uint64_t retransmit_us = 300'000;        // first resend, to all replicas; doubled up to 8 times this
  std::uint64_t hello_interval_us = 1'000'000;  // routes are taught anew while something is outstanding
  std::uint64_t read_fallback_us = 300'000;     // then an unanswered read is retried as an ordered request
  // Number of the first open_session: it has to be above all that this key used before, so it follows the wall clock
  // (microseconds since the Unix epoch, times 4096, plus a random number below that, so that processes which start
  // together differ). 0 in the options of a Client: it takes this value by itself.
  std::uint64_t open_number = 0;
  // Where the roster wants signed requests this is a signature, whatever is given here.
  crypto::ClientAuthenticator::Proof proof = crypto::ClientAuthenticator::Proof::macs;
};

struct OutgoingFrame {
  ReplicaId to;
  Bytes frame;
};
struct Completion {
  Ticket ticket;
  Outcome outcome;
};
// What each replica said for itself; index = ReplicaId, no value: no answer until the deadline.
struct SurveyCompletion {
  Ticket ticket;
  std::vector<std::optional<Outcome>> answers;
};
struct CoreEffects {
  std::vector<OutgoingFrame> frames;
  std::vector<Completion> completions;
  std::vector<SurveyCompletion> surveys;
};

class ClientCore {
 public:
  ClientCore(crypto::Roster roster, crypto::ClientAuthenticator authenticator, CoreOptions options);
  ~ClientCore();

  // Queues an operation; deadline in microseconds of the same clock as `now` (0: none). Nothing is sent before
  // the next advance(), which bundles what has gathered.
  Ticket submit(Bytes operation, std::uint64_t deadline_us);
  Ticket query(Bytes operation, std::uint64_t deadline_us);

  // Asks every replica for its own answer, without any agreement: for people and tests. Completes when all have
  // answered, or at the deadline (which must not be 0).
  Ticket survey_info(std::uint64_t deadline_us);  // the result of an answer is JSON text
  Ticket survey_query(Bytes operation, std::uint64_t deadline_us);

  void receive(const SharedBytes& frame, ReplicaId from);
  // Sends what is due, gives what is finished. `now_us` is a monotonic clock and never goes back.
  [[nodiscard]] CoreEffects advance(std::uint64_t now_us);
  // When advance() has something to do next, if nothing comes in before. 0: at once; the maximum: never.
  [[nodiscard]] std::uint64_t next_wakeup_us() const;

  [[nodiscard]] std::size_t outstanding() const;  // submitted and queried, not completed; without surveys
  [[nodiscard]] std::optional<SessionId> session() const;
  [[nodiscard]] View view() const;  // the highest that f+1 replicas reported at or above

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::client
