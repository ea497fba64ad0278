// Closed-loop clients of an etcd cluster over gRPC: the figure that a crash-only consensus gives on the same machine.
//   etcd_load --endpoint 127.0.0.1:2379 [--clients 200] [--bytes 256] [--keys 1000000] [--seconds 5] [--json]
// One thread with one completion queue; each channel is a connection of its own. Values are random bytes.
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "etcd_kv.grpc.pb.h"
#include "tools/pbftctl/histogram.h"

namespace pbft {
namespace {

using Clock = std::chrono::steady_clock;
using etcdserverpb::KV;

struct Options {
  std::string endpoint;
  std::size_t clients = 200;
  std::size_t channels = 16;
  std::size_t bytes = 256;
  std::uint64_t keys = 1'000'000;
  unsigned reads_percent = 0;
  double seconds = 5;
  double warm_up = 1;
  bool json = false;
};

struct Run {
  const Options& options;
  Clock::time_point from, to;
  grpc::CompletionQueue queue{};
  std::mt19937_64 random{1};  // NOLINT: the same load every time
  ctl::Histogram latency{};
  std::uint64_t failed = 0;
};

// One operation outstanding at a time; it is its own tag in the queue.
class Lane {
 public:
  Lane(Run& run, KV::Stub& stub) : run_(run), stub_(stub) {}

  void start() {
    sent_ = Clock::now();
    context_ = std::make_unique<grpc::ClientContext>();
    const std::string key = std::to_string(run_.random() % run_.options.keys);
    if (run_.random() % 100 < run_.options.reads_percent) {
      etcdserverpb::RangeRequest request;
      request.set_key(key);
      range_ = stub_.AsyncRange(context_.get(), request, &run_.queue);
      range_->Finish(&range_response_, &status_, this);
      return;
    }
    etcdserverpb::PutRequest request;
    request.set_key(key);
    std::string value(run_.options.bytes, '\0');
    for (char& c : value) c = static_cast<char>(run_.random());
    request.set_value(std::move(value));
    put_ = stub_.AsyncPut(context_.get(), request, &run_.queue);
    put_->Finish(&put_response_, &status_, this);
  }

  void ended() {
    const auto now = Clock::now();
    if (!status_.ok()) {
      ++run_.failed;
    } else if (now >= run_.from && now < run_.to) {
      const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - sent_);
      run_.latency.add(static_cast<std::uint64_t>(took.count()));
    }
  }
  [[nodiscard]] const grpc::Status& status() const { return status_; }

 private:
  Run& run_;
  KV::Stub& stub_;
  Clock::time_point sent_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<etcdserverpb::PutResponse>> put_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<etcdserverpb::RangeResponse>> range_;
  etcdserverpb::PutResponse put_response_;
  etcdserverpb::RangeResponse range_response_;
  grpc::Status status_;
};

std::vector<std::unique_ptr<KV::Stub>> connect(const Options& options) {
  std::vector<std::unique_ptr<KV::Stub>> stubs;
  for (std::size_t i = 0; i < std::min(options.channels, options.clients); ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("channel", static_cast<int>(i));  // channels with equal arguments would share a connection
    stubs.push_back(
        KV::NewStub(grpc::CreateCustomChannel(options.endpoint, grpc::InsecureChannelCredentials(), arguments)));
  }
  return stubs;
}

int measure(const Options& options) {
  const auto seconds = [](double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  };
  Run run{options, Clock::now() + seconds(options.warm_up), {}};
  run.to = run.from + seconds(options.seconds);
  const auto stubs = connect(options);
  std::vector<std::unique_ptr<Lane>> lanes;
  for (std::size_t i = 0; i < options.clients; ++i) {
    lanes.push_back(std::make_unique<Lane>(run, *stubs[i % stubs.size()]));
    lanes.back()->start();
  }
  std::size_t running = lanes.size();
  void* tag = nullptr;
  for (bool ok = false; running > 0 && run.queue.Next(&tag, &ok);) {
    auto* lane = static_cast<Lane*>(tag);
    lane->ended();
    if (!lane->status().ok() && run.failed == 1) fmt::print(stderr, "etcd_load: {}\n", lane->status().error_message());
    if (Clock::now() < run.to && lane->status().ok()) {
      lane->start();
    } else {
      --running;
    }
  }
  const double per_second = static_cast<double>(run.latency.count()) / options.seconds;
  const auto p50 = run.latency.percentile(0.5);
  const auto p99 = run.latency.percentile(0.99);
  if (options.json) {
    const nlohmann::json json{{"per_second", per_second}, {"p50_us", p50}, {"p99_us", p99}, {"failed", run.failed}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("etcd: {:.0f} per second, p50 {} us, p99 {} us, {} failed\n", per_second, p50, p99, run.failed);
  }
  return run.failed == 0 && run.latency.count() > 0 ? 0 : 1;
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  CLI::App app{"etcd_load: closed-loop clients of an etcd cluster"};
  pbft::Options options;
  app.add_option("--endpoint", options.endpoint, "HOST:PORT of the member to talk to")->required();
  app.add_option("--clients", options.clients, "With one operation outstanding each")->capture_default_str();
  app.add_option("--channels", options.channels, "Connections that they share")->capture_default_str();
  app.add_option("--bytes", options.bytes, "Size of a value")->capture_default_str();
  app.add_option("--keys", options.keys, "Keys, chosen uniformly")->capture_default_str();
  app.add_option("--reads", options.reads_percent, "Percentage of linearizable reads")->capture_default_str();
  app.add_option("--seconds", options.seconds, "That are measured")->capture_default_str();
  app.add_option("--warm-up", options.warm_up, "Seconds before")->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    return pbft::measure(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "etcd_load: {}\n", error.what());
    return 1;
  }
}
