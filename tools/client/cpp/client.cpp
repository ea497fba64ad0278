#include "tools/client/cpp/pbft/client.h"

#include <algorithm>
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

}  // namespace

struct Client::Impl {
  using Answers = std::vector<std::optional<Outcome>>;
  using SurveyCallback = std::function<void(Answers)>;
  using Done = std::variant<Callback, SurveyCallback>;
  enum class What { submit, query, survey_info, survey_query };
  struct Job {
    What what = What::submit;
    Bytes operation;
    std::uint64_t deadline_us = 0;
    Done done;
  };

  Impl(ClientOptions& options, std::unique_ptr<bus::ClientBus> opened)
      : replicas(options.roster.replicas.size()),
        bus(std::move(opened)),
        core(options.roster, crypto::ClientAuthenticator{options.roster, options.identity}, options.core) {}

  void post(Job job) {
    {
      const std::lock_guard lock{mutex};
      if (!stopping) {
        jobs.push_back(std::move(job));
        // The thread takes all of them at once.
        if (jobs.size() == 1) {
          bus->wake();
        }
        return;
      }
    }
    cancel(job.done);
  }

  void stop() {
    {
      const std::lock_guard lock{mutex};
      stopping = true;
      bus->wake();
    }
    thread.join();
  }

  // The thread: everything below runs on it alone.
  void run() {
    while (true) {
      std::vector<Job> taken;
      {
        const std::lock_guard lock{mutex};
        if (stopping) {
          break;
        }
        taken.swap(jobs);
      }
      for (Job& job : taken) {
        start(std::move(job));
      }
      perform(core.advance(monotonic_us()));
      bus->poll(idle_time(), frames_per_turn, [this](SharedBytes frame, ReplicaId from) { core.receive(frame, from); });
    }
    cancel_everything();
  }

  [[nodiscard]] microseconds idle_time() const {
    constexpr std::uint64_t longest_us = 1'000'000;
    const std::uint64_t wakeup = core.next_wakeup_us();
    const std::uint64_t now = monotonic_us();
    return microseconds{wakeup <= now ? 0 : std::min(wakeup - now, longest_us)};
  }

  void start(Job job) {
    Ticket ticket;
    switch (job.what) {
      case What::submit:
        ticket = core.submit(std::move(job.operation), job.deadline_us);
        break;
      case What::query:
        ticket = core.query(std::move(job.operation), job.deadline_us);
        break;
      case What::survey_info:
        ticket = core.survey_info(job.deadline_us);
        break;
      case What::survey_query:
        ticket = core.survey_query(std::move(job.operation), job.deadline_us);
        break;
    }
    callbacks.add(ticket, std::move(job.done));
  }

  void perform(CoreEffects effects) {
    for (OutgoingFrame& out : effects.frames) {
      bus->send(out.to, std::move(out.frame));  // What a full queue drops is resent like what a network drops.
    }
    for (Completion& completion : effects.completions) {
      const Done done = callbacks.take(completion.ticket);
      std::get<Callback>(done)(std::move(completion.outcome));
    }
    for (SurveyCompletion& completion : effects.surveys) {
      const Done done = callbacks.take(completion.ticket);
      std::get<SurveyCallback>(done)(std::move(completion.answers));
    }
  }

  void cancel(Done& done) const {
    if (auto* callback = std::get_if<Callback>(&done)) {
      (*callback)(closed());
    } else {
      std::get<SurveyCallback>(done)(Answers(replicas));
    }
  }

  void cancel_everything() {
    callbacks.for_each([this](Ticket, Done& done) { cancel(done); });
    callbacks.clear();
    std::vector<Job> left;
    {
      const std::lock_guard lock{mutex};
      left.swap(jobs);
    }
    for (Job& job : left) {
      cancel(job.done);
    }
  }

  [[nodiscard]] std::future<Outcome> post_with_future(What what, Bytes operation, milliseconds timeout) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    std::future<Outcome> future = promise->get_future();
    post({what, std::move(operation), deadline_after(timeout),
          Callback{[promise](Outcome outcome) { promise->set_value(std::move(outcome)); }}});
    return future;
  }

  [[nodiscard]] Answers survey(What what, Bytes operation, milliseconds timeout) {
    auto promise = std::make_shared<std::promise<Answers>>();
    std::future<Answers> future = promise->get_future();
    post({what, std::move(operation), deadline_after(timeout),
          SurveyCallback{[promise](Answers answers) { promise->set_value(std::move(answers)); }}});
    return future.get();
  }

  std::size_t replicas;
  std::unique_ptr<bus::ClientBus> bus;
  ClientCore core;
  Ascending<Ticket, Done> callbacks;

  std::mutex mutex;
  bool stopping = false;  // guarded by mutex
  std::vector<Job> jobs;  // guarded by mutex
  std::thread thread;
};

tl::expected<std::unique_ptr<Client>, std::string> Client::open(ClientOptions options) {
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
  auto opened = bus::ClientBus::open(options.identity, std::move(bus_options));
  if (!opened) {
    return tl::unexpected(opened.error());
  }
  if (options.core.open_number == 0) {
    options.core.open_number = first_open_number();
  }
  auto impl = std::make_unique<Impl>(options, std::move(*opened));
  impl->thread = std::thread{[raw = impl.get()] { raw->run(); }};
  return std::unique_ptr<Client>{new Client{std::move(impl)}};
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Client::~Client() {
  impl_->stop();
}

void Client::submit(Bytes operation, milliseconds timeout, Callback done) {
  impl_->post({Impl::What::submit, std::move(operation), deadline_after(timeout), std::move(done)});
}

void Client::query(Bytes operation, milliseconds timeout, Callback done) {
  impl_->post({Impl::What::query, std::move(operation), deadline_after(timeout), std::move(done)});
}

std::future<Outcome> Client::submit(Bytes operation, milliseconds timeout) {
  return impl_->post_with_future(Impl::What::submit, std::move(operation), timeout);
}

std::future<Outcome> Client::query(Bytes operation, milliseconds timeout) {
  return impl_->post_with_future(Impl::What::query, std::move(operation), timeout);
}

std::vector<std::optional<std::string>> Client::info(milliseconds timeout) {
  std::vector<std::optional<std::string>> texts;
  for (const std::optional<Outcome>& answer : impl_->survey(Impl::What::survey_info, {}, timeout)) {
    texts.push_back(answer ? std::optional<std::string>{as_text(answer->result)} : std::nullopt);
  }
  return texts;
}

std::vector<std::optional<Outcome>> Client::query_each(const Bytes& operation, milliseconds timeout) {
  return impl_->survey(Impl::What::survey_query, operation, timeout);
}

}  // namespace pbft::client
