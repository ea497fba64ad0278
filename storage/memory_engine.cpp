#include "storage/memory_engine.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <shared_mutex>

namespace pbft::storage {
namespace {

struct ByteOrder {
  using is_transparent = void;
  bool operator()(BytesView a, BytesView b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  }
};
using Table = std::map<Bytes, Bytes, ByteOrder>;

// What a key was before a write that is not durable yet.
struct ValueBefore {
  Family family;
  Bytes key;
  std::optional<Bytes> value;
};
using UndoOfWrite = std::vector<ValueBefore>;

class MemoryIterator final : public Iterator {
 public:
  MemoryIterator(std::shared_mutex& mutex, std::shared_ptr<const Table> table, BytesView from, BytesView to)
      : mutex_(mutex),
        table_(std::move(table)),
        at_(table_->lower_bound(from)),
        end_(to.empty() ? table_->end() : table_->lower_bound(to)) {
    // An inverted range is empty: its end would otherwise lie before its start.
    if (!to.empty() && !ByteOrder{}(from, to)) at_ = end_;
  }
  // Under the lock, so that the writer sees that nobody reads the table any more.
  ~MemoryIterator() override {
    const std::shared_lock lock{mutex_};
    table_.reset();
  }
  MemoryIterator(const MemoryIterator&) = delete;
  MemoryIterator& operator=(const MemoryIterator&) = delete;

  [[nodiscard]] bool valid() const override { return at_ != end_; }
  void next() override { ++at_; }
  [[nodiscard]] BytesView key() const override { return at_->first; }
  [[nodiscard]] BytesView value() const override { return at_->second; }
  [[nodiscard]] Result<void> status() const override { return {}; }

 private:
  std::shared_mutex& mutex_;
  std::shared_ptr<const Table> table_;
  Table::const_iterator at_;
  Table::const_iterator end_;
};

using Tables = std::array<std::shared_ptr<const Table>, family_count>;

class MemorySnapshot final : public Reader {
 public:
  MemorySnapshot(std::shared_mutex& mutex, Tables tables) : mutex_(mutex), tables_(std::move(tables)) {}
  ~MemorySnapshot() override {
    const std::shared_lock lock{mutex_};
    tables_ = {};
  }
  MemorySnapshot(const MemorySnapshot&) = delete;
  MemorySnapshot& operator=(const MemorySnapshot&) = delete;

  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override {
    const Table& table = *tables_[static_cast<std::size_t>(family)];
    const auto at = table.find(key);
    if (at == table.end()) return std::nullopt;
    return at->second;
  }
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override {
    const std::shared_lock lock{mutex_};
    return std::make_unique<MemoryIterator>(mutex_, tables_[static_cast<std::size_t>(family)], from, to);
  }

 private:
  std::shared_mutex& mutex_;
  Tables tables_;
};

}  // namespace

struct MemoryEngine::Impl {
  mutable std::shared_mutex mutex;
  std::array<std::shared_ptr<Table>, family_count> tables;
  std::vector<UndoOfWrite> unsynced;  // oldest first
  std::optional<StorageError> failure;

  Impl() {
    for (auto& table : tables) table = std::make_shared<Table>();
  }

  [[nodiscard]] const std::shared_ptr<Table>& shared(Family family) const {
    return tables[static_cast<std::size_t>(family)];
  }
  // The table to change. A scan that is open keeps the table that it started on.
  [[nodiscard]] Table& writable(Family family) {
    auto& table = tables[static_cast<std::size_t>(family)];
    if (table.use_count() > 1) table = std::make_shared<Table>(*table);
    return *table;
  }

  void perform(const WriteBatch::Operation& operation, UndoOfWrite& undo) {
    switch (operation.kind) {
      case WriteBatch::Operation::Kind::put:
        return put(operation.family, operation.key, operation.value, undo);
      case WriteBatch::Operation::Kind::erase:
        return erase(operation.family, operation.key, undo);
      case WriteBatch::Operation::Kind::erase_range:
        return erase_range(operation.family, operation.key, operation.value, undo);
    }
  }
  void put(Family family, BytesView key, BytesView value, UndoOfWrite& undo) {
    Table& table = writable(family);
    Bytes now{value.begin(), value.end()};
    const auto [at, inserted] = table.try_emplace(Bytes{key.begin(), key.end()});
    undo.push_back({family, at->first, inserted ? std::nullopt : std::optional{std::move(at->second)}});
    at->second = std::move(now);
  }
  void erase(Family family, BytesView key, UndoOfWrite& undo) {
    Table& table = writable(family);
    const auto at = table.find(key);
    if (at == table.end()) return;
    undo.push_back({family, at->first, std::move(at->second)});
    table.erase(at);
  }
  void erase_range(Family family, BytesView from, BytesView to, UndoOfWrite& undo) {
    if (!std::ranges::lexicographical_compare(from, to)) return;
    Table& table = writable(family);
    const auto first = table.lower_bound(from);
    const auto last = table.lower_bound(to);
    for (auto at = first; at != last; ++at) undo.push_back({family, at->first, std::move(at->second)});
    table.erase(first, last);
  }
  void roll_back(UndoOfWrite& undo) {
    for (auto before = undo.rbegin(); before != undo.rend(); ++before) {
      Table& table = writable(before->family);
      if (before->value) {
        table[before->key] = std::move(*before->value);
      } else {
        table.erase(before->key);
      }
    }
  }
};

MemoryEngine::MemoryEngine() : impl_(std::make_unique<Impl>()) {}
MemoryEngine::~MemoryEngine() = default;

Result<std::optional<Bytes>> MemoryEngine::get(Family family, BytesView key) const {
  const std::shared_lock lock{impl_->mutex};
  const Table& table = *impl_->shared(family);
  const auto at = table.find(key);
  if (at == table.end()) return std::nullopt;
  return at->second;
}

Result<void> MemoryEngine::write(const WriteBatch& batch, Sync sync) {
  const std::unique_lock lock{impl_->mutex};
  if (impl_->failure) return tl::unexpected(*impl_->failure);
  UndoOfWrite undo;
  for (const WriteBatch::Operation& operation : batch) impl_->perform(operation, undo);
  if (sync == Sync::durable) {
    impl_->unsynced.clear();
  } else {
    impl_->unsynced.push_back(std::move(undo));
  }
  return {};
}

std::unique_ptr<Iterator> MemoryEngine::scan(Family family, BytesView from, BytesView to) const {
  const std::shared_lock lock{impl_->mutex};
  return std::make_unique<MemoryIterator>(impl_->mutex, impl_->shared(family), from, to);
}

std::shared_ptr<const Reader> MemoryEngine::snapshot() const {
  const std::shared_lock lock{impl_->mutex};
  Tables tables;
  std::copy(impl_->tables.begin(), impl_->tables.end(), tables.begin());
  return std::make_shared<MemorySnapshot>(impl_->mutex, std::move(tables));
}

void MemoryEngine::lose_power(std::size_t kept) {
  const std::unique_lock lock{impl_->mutex};
  while (impl_->unsynced.size() > kept) {
    impl_->roll_back(impl_->unsynced.back());
    impl_->unsynced.pop_back();
  }
  impl_->unsynced.clear();  // what survived is on the disk that is found afterwards
}

std::size_t MemoryEngine::unsynced_writes() const {
  const std::shared_lock lock{impl_->mutex};
  return impl_->unsynced.size();
}

void MemoryEngine::fail_writes(std::optional<StorageError> error) {
  const std::unique_lock lock{impl_->mutex};
  impl_->failure = std::move(error);
}

}  // namespace pbft::storage
