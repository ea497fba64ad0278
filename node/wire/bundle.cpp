#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "node/wire/parts.h"

namespace pbft::wire {
namespace {

Request read_request(Reader& reader) {
  reader.array_of(3);
  Request request;
  request.number = reader.number<RequestNumber>();
  request.kind = static_cast<RequestKind>(reader.uint(static_cast<std::uint8_t>(RequestKind::open_session)));
  request.operation = reader.bin(Limits::max_operation_bytes);
  return request;
}

// Session 0 means that there is none yet, and then the one thing to ask for is a session.
bool session_matches_requests(const Bundle& bundle) {
  if (bundle.session == SessionId{0}) {
    return bundle.requests.size() == 1 && bundle.requests[0].kind == RequestKind::open_session &&
           bundle.requests[0].operation.empty();
  }
  for (const Request& request : bundle.requests) {
    if (request.kind == RequestKind::open_session) return false;
  }
  return true;
}

void read_body(Reader& reader, Bundle& bundle) {
  reader.array_of(4);
  bundle.client = reader.fixed<ClientId>();
  bundle.session = reader.number<SessionId>();
  bundle.low = reader.number<RequestNumber>();
  const std::size_t count = reader.array(1, Limits::max_bundle_requests);
  bundle.requests.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    bundle.requests.push_back(read_request(reader));
    if (i > 0) {
      reader.require(bundle.requests[i - 1].number < bundle.requests[i].number, WireError::not_canonical);
    }
  }
  if (reader.ok()) reader.require(session_matches_requests(bundle), WireError::not_canonical);
}

}  // namespace

Bytes encode_bundle_body(const ClientId& client, SessionId session, RequestNumber low,
                         const std::vector<Request>& requests) {
  std::size_t size = 2 * Writer::small;
  for (const Request& request : requests) size += request.operation.size() + 16;
  Writer writer{size};
  writer.array(4).put(client).put(session).put(low).array(requests.size());
  for (const Request& request : requests) {
    writer.array(3).put(request.number).uint(static_cast<std::uint8_t>(request.kind)).put(request.operation);
  }
  return writer.finish();
}

Decoded<BundlePtr> decode_bundle(const SharedBytes& body, const SharedBytes& proof) {
  if (body.size() > Limits::max_bundle_bytes || proof.size() > max_proof_bytes) {
    return tl::unexpected(WireError::too_large);
  }
  Reader reader{body};
  auto bundle = std::make_shared<Bundle>();
  read_body(reader, *bundle);
  if (reader.ok()) {
    bundle->body = body;
    bundle->digest = bundle_digest(body.view());
    bundle->proof = proof;
  }
  return reader.finish(BundlePtr{std::move(bundle)});
}

std::size_t bundle_size(const Bundle& bundle) {
  return bundle.body.size() + bundle.proof.size() + 11;
}

void write_bundle(Writer& writer, const Bundle& bundle) {
  writer.put(bundle.body).put(bundle.proof);
}

BundlePtr read_bundle(Reader& reader) {
  const SharedBytes body = reader.bin(Limits::max_bundle_bytes);
  const SharedBytes proof = reader.bin(max_proof_bytes);
  if (!reader.ok()) return nullptr;
  Decoded<BundlePtr> bundle = decode_bundle(body, proof);
  if (!bundle) {
    reader.fail(bundle.error());
    return nullptr;
  }
  return *std::move(bundle);
}

std::size_t batch_size(const Batch& batch) {
  std::size_t size = Writer::small;
  for (const BundlePtr& bundle : batch.bundles) size += bundle_size(*bundle) + 1;
  return size;
}

void write_batch(Writer& writer, const Batch& batch) {
  writer.array(2).put(batch.time).array(batch.bundles.size());
  for (const BundlePtr& bundle : batch.bundles) write_bundle(writer.array(2), *bundle);
}

BatchPtr read_batch(Reader& reader) {
  reader.array_of(2);
  auto batch = std::make_shared<Batch>();
  batch->time = reader.number<Timestamp>();
  const std::size_t count = reader.array(0, Limits::max_batch_bundles);
  batch->bundles.reserve(count);
  std::size_t bodies = 0;
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    reader.array_of(2);
    BundlePtr bundle = read_bundle(reader);
    if (!bundle) break;
    bodies += bundle->body.size();
    reader.require(bodies <= Limits::max_batch_bytes, WireError::out_of_range);
    batch->bundles.push_back(std::move(bundle));
  }
  // The null batch has one digest, so it has one form.
  if (count == 0) reader.require(batch->time == Timestamp{0}, WireError::not_canonical);
  if (!reader.ok()) return nullptr;
  if (count == 0) return null_batch();
  batch->digest = batch_digest(batch->time, batch->bundles);
  return batch;
}

Bytes encode_batch(const Batch& batch) {
  Writer writer{batch_size(batch)};
  write_batch(writer, batch);
  return writer.finish();
}

Decoded<BatchPtr> decode_batch(const SharedBytes& bytes) {
  if (bytes.size() > Limits::max_packet_bytes) return tl::unexpected(WireError::too_large);
  Reader reader{bytes};
  BatchPtr batch = read_batch(reader);
  return reader.finish(std::move(batch));
}

}  // namespace pbft::wire
