// A client's session: opens one when there is something to do, numbers and bundles requests, resends what is not
// answered, and opens another one when the cluster has evicted it or forgotten a result of it. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "tools/client/cpp/ascending.h"
#include "tools/client/cpp/outbox.h"
#include "tools/client/cpp/repliers.h"
#include "tools/client/cpp/times.h"
#include "tools/client/cpp/votes.h"

namespace pbft::client {

class Session {
 public:
  // The authenticator and the budget must outlive this.
  Session(Quorum quorum, const CoreOptions& options, crypto::ClientAuthenticator& authenticator, ResultBudget& budget);

  // Tickets are queued in ascending order. `kind` is execute or query.
  void enqueue(Ticket ticket, SharedBytes operation, RequestKind kind);
  // Nobody waits for the outcome any more; whether the operation takes effect is open.
  void abandon(Ticket ticket);
  // How many replicas have said lately that they have too much to do to take something of it.
  [[nodiscard]] std::size_t busy_replicas(std::uint64_t now_us) const;

  void receive(const Reply& reply, ReplicaId from);
  // `view`: where the primary is believed to be.
  void advance(std::uint64_t now_us, View view, Outbox& outbox);
  [[nodiscard]] std::uint64_t next_wakeup_us() const;
  [[nodiscard]] std::vector<Completion> take_completions();

  [[nodiscard]] std::optional<SessionId> id() const { return id_; }

 private:
  using FlightId = Number<struct FlightTag>;
  struct Wish {
    SharedBytes operation;
    RequestKind kind;
  };
  // A bundle on its way. It is resent as the same object, or with another proof: the numbers in it make it take effect
  // once.
  struct Flight {
    BundlePtr bundle;
    std::size_t open = 0;  // requests in it that are neither answered nor abandoned
    std::uint64_t due = 0;
    std::uint64_t interval = 0;  // until the resend after the next one
    bool postponed = false;      // a busy replica has put off the next resend
  };
  struct Slot {
    Ticket ticket;
    Wish wish;
    FlightId flight;
    Votes votes;
    std::uint64_t sent_at = 0;
    bool asked_for_result = false;
  };

  void open_session(Outbox& outbox);
  void receive_opening(const Reply& reply, ReplicaId from);
  void opening_answered(const Votes::Agreed& agreed);
  void receive_answer(const Reply& reply, ReplicaId from);
  void answered(RequestNumber number, Votes::Agreed agreed);
  void evicted();
  void back_off();
  void refuse_all(const std::string& message);

  void send_bundles(Outbox& outbox);
  void launch(BundlePtr bundle, FlightId id, std::size_t open, Outbox& outbox);
  void resend_due(Outbox& outbox);
  void follow_primary(Outbox& outbox);
  void say_hello(Outbox& outbox);
  void reschedule(FlightId id, std::uint64_t due);
  void landed(FlightId id);  // one more request of it is answered or abandoned
  void hinted(const Reply& reply, ReplicaId from, FlightId id);
  void sign_from_now_on(FlightId id);
  void busy(FlightId id);
  [[nodiscard]] Outcome outcome_of(Votes::Agreed agreed) const;
  [[nodiscard]] bool window_open() const;
  [[nodiscard]] RequestNumber low() const;
  [[nodiscard]] Votes new_votes() const { return {quorum_.replicas(), quorum_.weak(), *budget_}; }
  [[nodiscard]] bool something_outstanding() const { return !waiting_.empty() || !slots_.empty(); }

  Quorum quorum_;
  CoreOptions options_;
  crypto::ClientAuthenticator* authenticator_;
  ResultBudget* budget_;

  std::uint64_t now_ = 0;
  View view_;
  std::optional<SessionId> id_;
  RequestNumber open_number_;  // of the last open_session, or of the next one where none was sent yet
  std::uint64_t spread_;       // differs between processes of one client
  // What the next open_session number is higher by: two processes with one number would share the session, and take
  // each other's answers for their own. Milliseconds of the clock that the first numbers are made of, at most.
  std::uint64_t bump_;
  std::optional<Votes> opening_;  // present while an open_session is not answered
  FlightId opening_flight_;
  std::uint64_t opened_at_ = 0;
  std::uint32_t evicted_soon_ = 0;  // times in a row, soon after the opening
  std::uint64_t pause_ = 0;         // after the last eviction
  std::uint64_t reopen_at_ = 0;     // no other session is opened before

  Ascending<Ticket, Wish> waiting_;  // has no number yet
  Ascending<RequestNumber, Slot> slots_;
  Ascending<Ticket, RequestNumber> numbers_;  // Invariant: the tickets of slots_, and back.
  RequestNumber next_{1};
  std::map<FlightId, Flight> flights_;
  std::set<std::pair<std::uint64_t, FlightId>> schedule_;  // Invariant: (due, id) of every flight.
  FlightId next_flight_{1};
  std::map<ReplicaId, std::uint64_t> busy_;  // when each last said that it is
  std::optional<std::uint64_t> last_hello_;
  bool hello_at_once_ = false;  // some replicas are quiet and should not be
  Repliers repliers_;
  std::vector<Completion> completions_;
};

}  // namespace pbft::client
