#include "tools/client/cpp/pbft/client.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <limits>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <variant>

#include "node/bus/client_bus.h"
#include "tools/client/cpp/ascending.h"

namespace pbft::client {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t frames_per_turn = 256;

std::uint64_t monotonic_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<microseconds>(now).count());
}

std::uint64_t first_open_number() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::random_device random;
  return static_cast<std::uint64_t>(std::chrono::duration_cast<microseconds>(now).count()) * 4096 + random() % 4096;
}

std::uint64_t deadline_after(milliseconds timeout) {
  // One millisecond at least, since a deadline of 0 would be none; and not so long that the sum overflows.
  const milliseconds waiting = std::clamp<milliseconds>(timeout, milliseconds{1}, std::chrono::years{10});
  return monotonic_us() + static_cast<std::uint64_t>(microseconds{waiting}.count());
}

Outcome closed() {
  return {OutcomeKind::timed_out, {}, "the client was closed; the operation may still take effect"};
}

using Answers = std::vector<std::optional<Outcome>>;
using SurveyCallback = std::function<void(Answers)>;
using Done = std::variant<Client::Callback, SurveyCallback>;

enum class What { submit, query, survey_info, survey_query, close };
struct Job {
  std::size_t member = 0;  // whose it is
  What what = What::submit;
  Bytes operation;
  std::uint64_t deadline_us = 0;
  Done done;  // of close: a SurveyCallback, called when nothing of the member runs any more
};

// One client of those that share a worker.
struct Member {
  Member(const ClientOptions& options, const crypto::Identity& identity)
      : core(options.roster, crypto::ClientAuthenticator{options.roster, identity}, core_options(options)) {}
  static CoreOptions core_options(const ClientOptions& options) {
    CoreOptions core = options.core;
    if (core.open_number == 0) core.open_number = first_open_number();
    return core;
  }

  ClientCore core;
  Ascending<Ticket, Done> callbacks;
  std::uint64_t wakeup_us = 0;  // when the core has something to do next
  bool touched = false;         // it has something to do now
  bool closed = false;
};

void cancel(Done& done, std::size_t replicas) {
  if (auto* callback = std::get_if<Client::Callback>(&done)) {
    (*callback)(closed());
  } else {
    std::get<SurveyCallback>(done)(Answers(replicas));
  }
}

// The thread of one or more clients, and their sockets. Ends with the last of them.
class Worker {
 public:
  Worker(std::deque<Member> members, std::size_t replicas, std::unique_ptr<bus::ClientBus> opened)
      : replicas_(replicas), bus_(std::move(opened)), members_(std::move(members)), thread_([this] { run(); }) {}
  ~Worker() {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    bus_->wake();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Any thread.
  void post(Job job) {
    bool first = false;
    {
      const std::lock_guard lock{mutex_};
      jobs_.push_back(std::move(job));
      first = jobs_.size() == 1;
    }
    // The thread takes all of them at once; and looks for more before it waits, so it need not wake itself.
    if (first && std::this_thread::get_id() != thread_.get_id()) bus_->wake();
  }

 private:
  // The thread: everything below runs on it alone.
  void run() {
    while (true) {
      std::vector<Job> taken;
      {
        const std::lock_guard lock{mutex_};
        if (stopping_) return;
        taken.swap(jobs_);
      }
      for (Job& job : taken) start(std::move(job));
      advance();
      bus_->poll(idle_time(), frames_per_turn, [this](SharedBytes frame, ReplicaId from, std::size_t member) {
        members_[member].core.receive(frame, from);
        touch(member);
      });
    }
  }

  void touch(std::size_t member) {
    if (!std::exchange(members_[member].touched, true)) touched_.push_back(member);
  }

  void start(Job job) {
    Member& member = members_[job.member];
    if (job.what == What::close) return close(member, std::get<SurveyCallback>(job.done));
    const Ticket ticket = start(member.core, job);
    member.callbacks.add(ticket, std::move(job.done));
    touch(job.member);
  }
  static Ticket start(ClientCore& core, Job& job) {
    switch (job.what) {
      case What::submit:
        return core.submit(std::move(job.operation), job.deadline_us);
      case What::query:
        return core.query(std::move(job.operation), job.deadline_us);
      case What::survey_info:
        return core.survey_info(job.deadline_us);
      case What::survey_query:
        return core.survey_query(std::move(job.operation), job.deadline_us);
      case What::close:
        break;
    }
    std::abort();
  }
  void close(Member& member, const SurveyCallback& done) const {
    member.closed = true;
    member.callbacks.for_each([this](Ticket, Done& outstanding) { cancel(outstanding, replicas_); });
    member.callbacks.clear();
    done({});
  }

  // Of all that have something to do.
  void advance() {
    const std::uint64_t now = monotonic_us();
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].wakeup_us <= now) touch(i);
    }
    for (const std::size_t i : std::exchange(touched_, {})) {
      Member& member = members_[i];
      member.touched = false;
      if (member.closed) {
        member.wakeup_us = never;
        continue;
      }
      perform(i, member.core.advance(now));
      member.wakeup_us = member.core.next_wakeup_us();
    }
  }

  void perform(std::size_t position, CoreEffects effects) {
    Ascending<Ticket, Done>& callbacks = members_[position].callbacks;
    for (OutgoingFrame& out : effects.frames) {
      // What a full queue drops is resent like what a network drops.
      bus_->send(out.to, std::move(out.frame), position);
    }
    for (Completion& completion : effects.completions) {
      const Done done = callbacks.take(completion.ticket);
      std::get<Client::Callback>(done)(std::move(completion.outcome));
    }
    for (SurveyCompletion& completion : effects.surveys) {
      const Done done = callbacks.take(completion.ticket);
      std::get<SurveyCallback>(done)(std::move(completion.answers));
    }
  }

  [[nodiscard]] microseconds idle_time() {
    constexpr std::uint64_t longest_us = 1'000'000;
    {
      const std::lock_guard lock{mutex_};
      if (!jobs_.empty()) return microseconds{0};  // callbacks have submitted more
    }
    std::uint64_t wakeup = never;
    for (const Member& member : members_) wakeup = std::min(wakeup, member.wakeup_us);
    const std::uint64_t now = monotonic_us();
    return microseconds{wakeup <= now ? 0 : std::min(wakeup - now, longest_us)};
  }

  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  const std::size_t replicas_;
  const std::unique_ptr<bus::ClientBus> bus_;
  std::deque<Member> members_;
  std::vector<std::size_t> touched_;  // positions in members_

  std::mutex mutex_;
  bool stopping_ = false;  // guarded by mutex_
  std::vector<Job> jobs_;  // guarded by mutex_
  std::thread thread_;     // last, since it uses all the others
};

}  // namespace

struct Client::Impl {
  Impl(std::shared_ptr<Worker> its, std::size_t at) : worker(std::move(its)), member(at) {}
  ~Impl() {
    std::promise<void> closed;
    worker->post({member, What::close, {}, 0, SurveyCallback{[&closed](const Answers&) { closed.set_value(); }}});
    closed.get_future().wait();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void post(What what, Bytes operation, milliseconds timeout, Done done) {
    worker->post({member, what, std::move(operation), deadline_after(timeout), std::move(done)});
  }

  [[nodiscard]] std::future<Outcome> post_with_future(What what, Bytes operation, milliseconds timeout) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    std::future<Outcome> future = promise->get_future();
    post(what, std::move(operation), timeout,
         Callback{[promise](Outcome outcome) { promise->set_value(std::move(outcome)); }});
    return future;
  }

  [[nodiscard]] Answers survey(What what, Bytes operation, milliseconds timeout) {
    auto promise = std::make_shared<std::promise<Answers>>();
    std::future<Answers> future = promise->get_future();
    post(what, std::move(operation), timeout,
         SurveyCallback{[promise](Answers answers) { promise->set_value(std::move(answers)); }});
    return future.get();
  }

  const std::shared_ptr<Worker> worker;
  const std::size_t member;  // its position among those of the worker
};

tl::expected<std::unique_ptr<Client>, std::string> Client::open(ClientOptions options) {
  const std::vector<crypto::Identity> identities{options.identity};
  return open_many(std::move(options), identities).map([](std::vector<std::unique_ptr<Client>> clients) {
    return std::move(clients.front());
  });
}

tl::expected<std::vector<std::unique_ptr<Client>>, std::string> Client::open_many(
    ClientOptions options, const std::vector<crypto::Identity>& identities) {
  if (options.roster.replicas.empty()) {
    return tl::unexpected(std::string{"the roster names no replica"});
  }
  if (options.replicas.size() != options.roster.replicas.size()) {
    return tl::unexpected("the roster has " + std::to_string(options.roster.replicas.size()) +
                          " replicas, but addresses are given for " + std::to_string(options.replicas.size()));
  }
  bus::ClientBusOptions bus_options;
  for (std::size_t i = 0; i < options.replicas.size(); ++i) {
    bus_options.replicas.push_back({options.roster.replicas[i], options.replicas[i].endpoint});
  }
  auto opened = bus::ClientBus::open(identities, std::move(bus_options));
  if (!opened) {
    return tl::unexpected(opened.error());
  }
  std::deque<Member> members;
  for (const crypto::Identity& identity : identities) members.emplace_back(options, identity);
  const auto worker = std::make_shared<Worker>(std::move(members), options.roster.replicas.size(), std::move(*opened));
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < identities.size(); ++i) {
    clients.push_back(std::unique_ptr<Client>{new Client{std::make_unique<Impl>(worker, i)}});
  }
  return clients;
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

void Client::submit(Bytes operation, milliseconds timeout, Callback done) {
  impl_->post(What::submit, std::move(operation), timeout, std::move(done));
}

void Client::query(Bytes operation, milliseconds timeout, Callback done) {
  impl_->post(What::query, std::move(operation), timeout, std::move(done));
}

std::future<Outcome> Client::submit(Bytes operation, milliseconds timeout) {
  return impl_->post_with_future(What::submit, std::move(operation), timeout);
}

std::future<Outcome> Client::query(Bytes operation, milliseconds timeout) {
  return impl_->post_with_future(What::query, std::move(operation), timeout);
}

std::vector<std::optional<std::string>> Client::info(milliseconds timeout) {
  std::vector<std::optional<std::string>> texts;
  for (const std::optional<Outcome>& answer : impl_->survey(What::survey_info, {}, timeout)) {
    texts.push_back(answer ? std::optional<std::string>{as_text(answer->result)} : std::nullopt);
  }
  return texts;
}

std::vector<std::optional<Outcome>> Client::query_each(const Bytes& operation, milliseconds timeout) {
  return impl_->survey(What::survey_query, operation, timeout);
}

}  // namespace pbft::client
