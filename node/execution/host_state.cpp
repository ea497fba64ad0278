#include "node/execution/host_state.h"

#include <exception>
#include <new>
#include <utility>

#include "node/pbft/messages.h"

namespace pbft::execution {

static_assert(PBFT_MAX_OPERATION_BYTES == Limits::max_operation_bytes);
static_assert(PBFT_MAX_RESULT_BYTES == Limits::max_result_bytes);
static_assert(PBFT_MAX_WORK_BYTES == WorkBudget::large_bytes);
static_assert(PBFT_WORK_OF_CALL == WorkBudget::call_bytes && PBFT_WORK_OF_PAIR == WorkBudget::pair_bytes);

namespace {

BytesView view(pbft_bytes bytes) {
  return {bytes.data, bytes.size};
}
pbft_bytes pass(BytesView bytes) {
  return {bytes.data(), bytes.size()};
}

std::string bytes_text(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

}  // namespace

pbft_writer Collector::writer() {
  return {this, &Collector::append};
}

void Collector::append(void* handle, const void* data, std::size_t size) noexcept {
  auto& self = *static_cast<Collector*>(handle);
  if (self.overflowed_ || size == 0) return;
  if (size > self.limit_ - self.bytes_.size()) {
    self.overflowed_ = true;
    return;
  }
  const auto* first = static_cast<const std::uint8_t*>(data);
  self.bytes_.insert(self.bytes_.end(), first, first + size);
}

// Each function catches everything: what is thrown here (out of memory) is this replica's own trouble, so it counts as
// a broken storage and not as a result.
struct HostState::Calls {
  template <class Body>
  static int guarded(void* handle, Body&& body) noexcept {
    auto& self = *static_cast<HostState*>(handle);
    if (self.storage_error_ || self.exhausted_) return PBFT_REFUSED;
    if (self.work(WorkBudget::call_bytes) != PBFT_OK) return PBFT_REFUSED;
    try {
      return body(self);
    } catch (const std::exception& e) {
      return self.broken({storage::StorageError::Kind::io, std::string("reading or changing the state: ") + e.what()});
    }
  }

  static int get(void* handle, pbft_bytes key, pbft_bytes* value) noexcept {
    return guarded(handle, [&](HostState& self) -> int {
      if (const int status = self.check_key(key); status != PBFT_OK) return status;
      auto found = self.state_.get(view(key));
      if (!found) return self.broken(found.error());
      if (const int status = self.work(key.size + (*found ? (*found)->size() : 0)); status != PBFT_OK) return status;
      if (!found->has_value()) return PBFT_NOT_FOUND;
      self.value_ = *std::move(*found);
      *value = pass(self.value_);
      return PBFT_OK;
    });
  }

  static int put(void* handle, pbft_bytes key, pbft_bytes value) noexcept {
    return guarded(handle, [&](HostState& self) -> int {
      if (const int status = self.check_change("put"); status != PBFT_OK) return status;
      if (const int status = self.check_key(key); status != PBFT_OK) return status;
      if (value.size > PBFT_MAX_VALUE_BYTES) {
        return self.refuse("a value of " + bytes_text(value.size) + " is too large; at most " +
                           bytes_text(PBFT_MAX_VALUE_BYTES) + " are allowed");
      }
      if (const int status = self.work(key.size + value.size); status != PBFT_OK) return status;
      self.changes_->put(view(key), view(value));
      return PBFT_OK;
    });
  }

  static int erase(void* handle, pbft_bytes key) noexcept {
    return guarded(handle, [&](HostState& self) -> int {
      if (const int status = self.check_change("erase"); status != PBFT_OK) return status;
      if (const int status = self.check_key(key); status != PBFT_OK) return status;
      if (const int status = self.work(key.size); status != PBFT_OK) return status;
      self.changes_->erase(view(key));
      return PBFT_OK;
    });
  }

  static int scan(void* handle, pbft_bytes from, pbft_bytes to, int (*visit)(void*, pbft_bytes, pbft_bytes),
                  void* user) noexcept {
    return guarded(handle, [&](HostState& self) -> int {
      ++self.open_scans_;
      std::exception_ptr thrown;
      const auto step = [&](BytesView key, const std::optional<BytesView>& value) {
        const std::size_t size = key.size() + (value ? value->size() : 0);
        if (self.work(WorkBudget::pair_bytes + size) != PBFT_OK) return false;
        if (!value) return true;
        try {
          return visit(user, pass(key), pass(*value)) != 0 && !self.lost();
        } catch (const std::bad_alloc&) {
          self.exhausted_ = true;
          return false;
        } catch (...) {  // A plugin's mistake, which must look the same on all replicas.
          thrown = std::current_exception();
          return false;
        }
      };
      auto scanned = self.state_.scan(view(from), view(to), step);
      --self.open_scans_;
      if (!scanned) return self.broken(scanned.error());
      if (thrown) return self.refuse("an exception left the visitor of a scan");
      return self.lost() ? PBFT_REFUSED : PBFT_OK;
    });
  }
};

HostState::HostState(const StateView& state, StateView* changes, WorkBudget& work)
    : state_(state), changes_(changes), work_(work), functions_{sizeof(pbft_state), this,          &Calls::get,
                                                                &Calls::put,        &Calls::erase, &Calls::scan} {}

int HostState::refuse(std::string why) {
  if (!refusal_) refusal_ = std::move(why);
  return PBFT_REFUSED;
}

int HostState::broken(storage::StorageError error) {
  if (!storage_error_) storage_error_ = std::move(error);
  return PBFT_REFUSED;
}

int HostState::work(std::size_t bytes) {
  return work_.take(bytes) ? PBFT_OK : refuse(WorkBudget::refusal());
}

int HostState::check_key(pbft_bytes key) {
  if (key.size == 0) return refuse("an empty key is not allowed");
  if (key.size > PBFT_MAX_KEY_BYTES) {
    return refuse("a key of " + bytes_text(key.size) + " is too long; at most " + bytes_text(PBFT_MAX_KEY_BYTES) +
                  " are allowed");
  }
  return PBFT_OK;
}

int HostState::check_change(const char* call) {
  if (changes_ == nullptr) return refuse(std::string("a query must not change the state (") + call + ")");
  if (open_scans_ != 0) return refuse(std::string("a visitor of a scan must not change the state (") + call + ")");
  return PBFT_OK;
}

}  // namespace pbft::execution
