// Makes hand-made histories for the tests of the checkers.
#pragma once

#include <string>
#include <vector>

#include "node/pbft/digests.h"
#include "tools/sim/checkers/history.h"
#include "tools/sim/findings.h"
#include "tools/sim/kv_language.h"

namespace pbft::sim::testing {

inline ClientId client(std::uint8_t number) {
  ClientId id;
  id.bytes[0] = number;
  return id;
}
inline RequestName name(std::uint8_t of, std::uint64_t number) {
  return {client(of), SessionId{1}, RequestNumber{number}};
}
inline Digest digest(std::string_view text) {
  return tagged_digest("test", as_bytes(text));
}

inline KvOperation get(const std::string& key) {
  KvOperation operation;
  operation.key = key;
  return operation;
}
inline KvOperation put(const std::string& key, const std::string& value) {
  KvOperation operation;
  operation.kind = KvOperation::Kind::put;
  operation.key = key;
  operation.value = value;
  return operation;
}
inline KvOperation incr(const std::string& key, std::int64_t amount) {
  KvOperation operation;
  operation.kind = KvOperation::Kind::incr;
  operation.key = key;
  operation.amount = amount;
  return operation;
}
inline KvAnswer ok(const std::string& result = "") {
  return {ReplyStatus::ok, to_bytes(result)};
}
inline KvAnswer failed() {
  return {ReplyStatus::failed, {}};
}

inline RanRequest ran(const RequestName& request, const KvOperation& operation, const KvAnswer& answer) {
  return {request, RequestKind::execute, operation.bytes(), false, answer.status, answer.result};
}
inline RanBatch batch(std::uint64_t n, std::vector<RanRequest> run, const std::string& content = "") {
  return {SequenceNumber{n}, digest(content + std::to_string(n)), {}, Timestamp{n}, {}, std::move(run)};
}

// A bundle with one request, as its client sends it.
inline Bundle bundle(const RequestName& request, const KvOperation& operation) {
  Bundle made;
  made.client = request.client;
  made.session = request.session;
  made.requests = {{request.number, RequestKind::execute, SharedBytes::own(operation.bytes())}};
  made.digest = digest(to_string(request) + to_string(operation));
  return made;
}

inline std::string first_finding(const Findings& findings) {
  return findings.any() ? findings.all().front().invariant : std::string{};
}

}  // namespace pbft::sim::testing
