// Bytes to messages and back. The argument of the batches: how many requests they hold, 16 in a bundle.
#include <benchmark/benchmark.h>

#include "tests/bench/micro/samples.h"

namespace pbft::micro {
namespace {

constexpr std::size_t bundle_requests = 16;

PeerMessage pre_prepare(const benchmark::State& state) {
  const auto bundles = static_cast<std::size_t>(state.range(0)) / bundle_requests;
  return PrePrepare{View{1}, SequenceNumber{1'000}, batch_of(1, bundles, bundle_requests), {}};
}

void requests_processed(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void encode_pre_prepare(benchmark::State& state) {
  const PeerMessage message = pre_prepare(state);
  for (auto _ : state) benchmark::DoNotOptimize(wire::encode(message));
  requests_processed(state);
}
BENCHMARK(encode_pre_prepare)->Arg(16)->Arg(400);

void decode_pre_prepare(benchmark::State& state) {
  const SharedBytes bytes = SharedBytes::own(wire::encode(pre_prepare(state)));
  for (auto _ : state) benchmark::DoNotOptimize(wire::decode_peer_message(bytes).value());
  requests_processed(state);
}
BENCHMARK(decode_pre_prepare)->Arg(16)->Arg(400);

void encode_batch_as_stored(benchmark::State& state) {
  const BatchPtr batch = batch_of(1, static_cast<std::size_t>(state.range(0)) / bundle_requests, bundle_requests);
  for (auto _ : state) benchmark::DoNotOptimize(wire::encode_batch(*batch));
  requests_processed(state);
}
BENCHMARK(encode_batch_as_stored)->Arg(400);

// A packet of votes, as a turn gathers them.
wire::Packet packet(std::size_t votes) {
  wire::Packet made;
  made.sender = ReplicaId{1};
  for (std::size_t i = 0; i < votes; ++i) {
    made.messages.push_back(SharedBytes::own(wire::encode(PeerMessage{testing::prepare(1'000 + i)})));
  }
  return made;
}

Bytes encode_frame(const wire::Packet& packet) {
  std::vector<Bytes> messages;
  for (const SharedBytes& message : packet.messages) {
    messages.emplace_back(message.view().begin(), message.view().end());
  }
  Bytes frame = wire::encode_packet(packet.cluster, packet.epoch, packet.sender, messages);
  wire::append_authenticator(frame, Bytes(64));
  return frame;
}

void encode_prepare_frame(benchmark::State& state) {
  const testing::TestCluster cluster;
  std::vector<PeerMessage> votes;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    votes.emplace_back(testing::prepare(1'000 + static_cast<std::uint64_t>(i)));
  }
  for (auto _ : state) {
    std::vector<Bytes> messages;
    messages.reserve(votes.size());
    for (const PeerMessage& vote : votes) messages.push_back(wire::encode(vote));
    benchmark::DoNotOptimize(wire::encode_packet(cluster.roster.cluster, Epoch{1}, ReplicaId{1}, messages));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(encode_prepare_frame)->Arg(1)->Arg(16);

void decode_prepare_frame(benchmark::State& state) {
  const SharedBytes frame = SharedBytes::own(encode_frame(packet(static_cast<std::size_t>(state.range(0)))));
  for (auto _ : state) {
    const wire::Packet read = wire::decode_packet(frame).value();
    for (const SharedBytes& message : read.messages)
      benchmark::DoNotOptimize(wire::decode_peer_message(message).value());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(decode_prepare_frame)->Arg(1)->Arg(16);

std::vector<ReplicaToClientMessage> replies(std::int64_t count) {
  std::vector<ReplicaToClientMessage> made;
  for (std::int64_t i = 0; i < count; ++i) {
    const RequestNumber number{1'000 + static_cast<std::uint64_t>(i)};
    made.emplace_back(
        Reply{View{1}, SessionId{1}, number, ReplyStatus::ok, reply_digest(ReplyStatus::ok, {}), SharedBytes{}});
  }
  return made;
}

void encode_replies(benchmark::State& state) {
  const auto messages = replies(state.range(0));
  for (auto _ : state) {
    for (const auto& message : messages) benchmark::DoNotOptimize(wire::encode(message));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(encode_replies)->Name("encode_reply_packet")->Arg(1)->Arg(16);

void decode_replies(benchmark::State& state) {
  wire::Packet made = packet(0);
  for (const auto& message : replies(state.range(0))) made.messages.push_back(SharedBytes::own(wire::encode(message)));
  const SharedBytes frame = SharedBytes::own(encode_frame(made));
  for (auto _ : state) {
    const wire::Packet read = wire::decode_packet(frame).value();
    for (const SharedBytes& message : read.messages) {
      benchmark::DoNotOptimize(wire::decode_replica_message(message).value());
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(decode_replies)->Name("decode_reply_packet")->Arg(1)->Arg(16);

}  // namespace
}  // namespace pbft::micro
