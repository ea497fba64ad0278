#include "storage/staging.h"

#include "storage/digest_tree.h"

namespace pbft::storage {
namespace {

constexpr std::uint8_t head_tag = 'b';
constexpr std::uint8_t pair_tag = 'p';

Bytes head_key(std::uint32_t bucket) {
  return FieldWriter{}.u8(head_tag).u16(static_cast<std::uint16_t>(bucket)).take();
}

Bytes staged_key(std::uint32_t bucket, BytesView name) {
  return FieldWriter{}.u8(pair_tag).u16(static_cast<std::uint16_t>(bucket)).raw(name).take();
}

tl::unexpected<StorageError> unreadable(const std::string& where, BytesView key) {
  return tl::unexpected(damage_error(where, "entry " + to_hex(key) + " of family staging cannot be read"));
}

}  // namespace

Result<std::map<std::uint32_t, StagedHead>> staged_heads(const StateView& view) {
  std::map<std::uint32_t, StagedHead> heads;
  const auto entries = view.reader().scan(Family::staging, head_key(0), head_key(DigestTree::bucket_count));
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    const std::uint32_t bucket = key.u16();
    FieldReader fields{entries->value()};
    StagedHead head;
    head.base = fields.fixed<Digest>();
    head.leaf = fields.fixed<Digest>();
    if (!key.complete() || !fields.ok() || fields.rest().size() != LtHash::byte_size) {
      return unreadable(view.where(), entries->key());
    }
    heads.emplace(bucket, head);
  }
  if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  return heads;
}

Result<LtHash> staged_hash(const StateView& view, std::uint32_t bucket) {
  const Bytes key = head_key(bucket);
  const auto bytes = view.reader().get(Family::staging, key);
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes || (*bytes)->size() != 2 * Digest::size + LtHash::byte_size) return unreadable(view.where(), key);
  return LtHash::from_bytes(BytesView{**bytes}.last(LtHash::byte_size));
}

Result<void> visit_staged(const StateView& view, std::uint32_t bucket, const VisitChange& each) {
  const auto entries = view.reader().scan(Family::staging, staged_key(bucket, {}), staged_key(bucket + 1, {}));
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    static_cast<void>(key.u16());
    FieldReader fields{entries->value()};
    const std::uint8_t present = fields.u8();
    if (key.rest().empty() || key.rest()[0] > 1 || !fields.ok() || present > 1) {
      return unreadable(view.where(), entries->key());
    }
    auto visited = each(key.rest(), present == 1 ? std::optional{fields.rest()} : std::nullopt);
    if (!visited) return visited;
  }
  return entries->status();
}

Result<std::optional<std::optional<Bytes>>> staged_change(const StateView& view, std::uint32_t bucket, BytesView name) {
  using Change = std::optional<std::optional<Bytes>>;
  const Bytes key = staged_key(bucket, name);
  const auto record = view.reader().get(Family::staging, key);
  if (!record) return tl::unexpected(record.error());
  if (!*record) return Change{};
  FieldReader fields{**record};
  const std::uint8_t present = fields.u8();
  if (!fields.ok() || present > 1) return unreadable(view.where(), key);
  if (present == 0) return Change{std::optional<Bytes>{}};
  return Change{Bytes{fields.rest().begin(), fields.rest().end()}};
}

void stage_change(WriteBatch& batch, std::uint32_t bucket, BytesView name, const std::optional<BytesView>& value) {
  batch.put(Family::staging, staged_key(bucket, name), encode_before(value));
}

void unstage_change(WriteBatch& batch, std::uint32_t bucket, BytesView name) {
  batch.erase(Family::staging, staged_key(bucket, name));
}

void stage_head(WriteBatch& batch, std::uint32_t bucket, const StagedHead& head, const LtHash& hash) {
  batch.put(Family::staging, head_key(bucket),
            FieldWriter{}.raw(head.base.view()).raw(head.leaf.view()).raw(hash.bytes()).take());
}

void unstage_all_but(WriteBatch& batch, const std::map<std::uint32_t, StagedHead>& kept) {
  const auto erase = [&](std::uint32_t from, std::uint32_t to) {
    if (from == to) return;
    batch.erase(Family::staging, head_key(from), head_key(to));
    batch.erase(Family::staging, staged_key(from, {}), staged_key(to, {}));
  };
  std::uint32_t from = 0;
  for (const auto& [bucket, head] : kept) {
    erase(from, bucket);
    from = bucket + 1;
  }
  erase(from, DigestTree::bucket_count);
}

void unstage_all(WriteBatch& batch) {
  for (const std::uint8_t tag : {head_tag, pair_tag}) {
    batch.erase(Family::staging, Bytes{tag}, Bytes{static_cast<std::uint8_t>(tag + 1)});
  }
}

Bytes installing_key() {
  return FieldWriter{}.u8('i').take();
}

Bytes salvaged_key(BytesView name) {
  return FieldWriter{}.u8('k').raw(name).take();
}

Bytes salvage_done_key() {
  return FieldWriter{}.u8('r').take();
}

}  // namespace pbft::storage
