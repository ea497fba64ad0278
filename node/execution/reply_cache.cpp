#include "node/execution/reply_cache.h"

#include <algorithm>
#include <span>

namespace pbft::execution {
namespace {

bool before(const storage::CachedReply& reply, RequestNumber number) {
  return reply.number < number;
}

std::size_t large_size(const storage::CachedReply& reply) {
  return ResultBudget::is_large(reply.result.size()) ? reply.result.size() : 0;
}

std::size_t large_sum(std::span<const storage::CachedReply> replies) {
  std::size_t sum = 0;
  for (const storage::CachedReply& reply : replies) sum += large_size(reply);
  return sum;
}

LargeResults::Use use_of(const storage::SessionRecord& record) {
  return {record.session.last_used, record.session.session};
}

}  // namespace

ReplyCache::ReplyCache(storage::ClientRecords records, std::size_t table_bytes) : table_bytes_(table_bytes) {
  for (storage::SessionRecord& record : records.sessions) {
    const Key key{record.session.client, record.session.session};
    if (const std::size_t large = large_sum(record.replies); large > 0) {
      large_.add(key.first, large);
      large_.offer(key.first, use_of(record));
    }
    sessions_.emplace(key, std::move(record));
  }
}

void ReplyCache::update(const ClientUpdate& client) {
  changed_clients_.insert_or_assign(client.client, client);
}

void ReplyCache::update(const SessionUpdate& session) {
  const Key key{session.client, session.session};
  storage::SessionRecord& record = sessions_[key];
  const bool offered = large_.withdraw(key.first, use_of(record));
  record.session = session;
  auto& replies = record.replies;
  const auto kept = std::lower_bound(replies.begin(), replies.end(), session.low, before);
  large_.remove(key.first, large_sum({replies.begin(), kept}));
  for (auto at = replies.begin(); at != kept; ++at) result_changes(key, *at);
  replies.erase(replies.begin(), kept);
  if (offered && large_sum(replies) > 0) large_.offer(key.first, use_of(record));
  changed_sessions_.insert(key);
}

bool ReplyCache::add(const ClientId& client, SessionId session, storage::CachedReply reply) {
  storage::SessionRecord* record = change({client, session});
  if (record == nullptr) return false;
  if (reply.number < record->session.low) return true;
  auto& replies = record->replies;
  const auto at = std::lower_bound(replies.begin(), replies.end(), reply.number, before);
  const bool is_there = at != replies.end() && at->number == reply.number;
  if (is_there) {
    large_.remove(client, large_size(*at));
    result_changes({client, session}, *at);
  }
  result_changes({client, session}, reply, !is_there);
  if (const std::size_t large = large_size(reply); large > 0) {
    large_.add(client, large);
    made_[{client, session}].insert(reply.number);
  }
  if (is_there) {
    *at = std::move(reply);
  } else {
    replies.insert(at, std::move(reply));
  }
  return true;
}

// The replies of a bundle come one after the other, so mostly it is the session of the last call.
storage::SessionRecord* ReplyCache::change(const Key& key) {
  if (changing_ == nullptr || changing_->first != key) {
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return nullptr;
    changed_sessions_.insert(key);
    changing_ = &*found;
  }
  return &changing_->second;
}

void ReplyCache::evict(const EvictedSession& session) {
  const Key key{session.client, session.session};
  changing_ = nullptr;
  if (const auto found = sessions_.find(key); found != sessions_.end()) {
    (void)large_.withdraw(key.first, use_of(found->second));
    large_.remove(key.first, large_sum(found->second.replies));
    for (const storage::CachedReply& reply : found->second.replies) result_changes(key, reply);
    sessions_.erase(found);
  }
  changed_sessions_.insert(key);
}

void ReplyCache::forget(const ClientId& client) {
  if (!has_session(client)) changed_clients_.insert_or_assign(client, std::nullopt);
}

bool ReplyCache::has_session(const ClientId& client) const {
  const auto first = sessions_.lower_bound(Key{client, SessionId{0}});
  return first != sessions_.end() && first->first.first == client;
}

void ReplyCache::result_changes(const Key& key, const storage::CachedReply& reply, bool first) {
  if (storage::has_own_record(reply)) changed_results_[key].try_emplace(reply.number, first);
}

void ReplyCache::keep_bound() {
  while (large_.bytes() > table_bytes_ && forget_first()) {
  }
  // From here on the results of this batch are like all others.
  for (const auto& [key, numbers] : made_) {
    const auto found = sessions_.find(key);
    if (found != sessions_.end()) large_.offer(key.first, use_of(found->second));
  }
  made_.clear();
  while (large_.bytes() > table_bytes_ && forget_first()) {
  }
}

bool ReplyCache::forget_first() {
  const auto key = large_.first();
  if (!key) return false;
  storage::SessionRecord& record = *change(*key);
  (void)large_.withdraw(key->first, use_of(record));
  const auto made = made_.find(*key);
  std::size_t forgotten = 0;
  for (storage::CachedReply& reply : record.replies) {
    const bool spared = made != made_.end() && made->second.contains(reply.number);
    if (spared || large_size(reply) == 0) continue;
    forgotten += large_size(reply);
    result_changes(*key, reply);
    reply = {reply.number, ReplyStatus::unknown_session, {}};
  }
  large_.remove(key->first, forgotten);
  return true;
}

std::vector<storage::StateChange> ReplyCache::take_changes() {
  keep_bound();
  std::vector<storage::StateChange> changes;  // the keys of clients come first, those of sessions last
  changes.reserve(changed_clients_.size() + changed_sessions_.size());
  for (const auto& [id, client] : changed_clients_) {
    std::optional<Bytes> record;
    if (client) record = storage::encode_client(*client);
    changes.push_back({storage::client_key(id), std::move(record)});
  }
  for (const auto& [key, numbers] : changed_results_) {
    for (const auto& [number, first] : numbers) {
      const storage::CachedReply* reply = find(key.first, key.second, number);
      std::optional<Bytes> record;
      if (reply != nullptr && storage::has_own_record(*reply)) record = reply->result;
      if (first && !record) continue;  // made and dropped by the same batch
      changes.push_back({storage::result_key(key.first, key.second, number), std::move(record), first});
    }
  }
  for (const Key& key : changed_sessions_) {
    const auto found = sessions_.find(key);
    std::optional<Bytes> record;
    if (found != sessions_.end()) record = storage::encode_session(found->second);
    changes.push_back({storage::session_key(key.first, key.second), std::move(record)});
  }
  changed_clients_.clear();
  changed_results_.clear();
  changed_sessions_.clear();
  changing_ = nullptr;
  return changes;
}

std::size_t ReplyCache::large_bytes(const ClientId& client, SessionId session, RequestNumber except) const {
  const auto found = sessions_.find(Key{client, session});
  if (found == sessions_.end()) return 0;
  std::size_t sum = 0;
  for (const storage::CachedReply& reply : found->second.replies) {
    if (reply.number != except) sum += large_size(reply);
  }
  return sum;
}

const storage::CachedReply* ReplyCache::find(const ClientId& client, SessionId session, RequestNumber number) const {
  const auto found = sessions_.find(Key{client, session});
  if (found == sessions_.end()) return nullptr;
  const auto& replies = found->second.replies;
  const auto at = std::lower_bound(replies.begin(), replies.end(), number, before);
  return at != replies.end() && at->number == number ? &*at : nullptr;
}

std::optional<SessionId> ReplyCache::opened_by(const ClientId& client, RequestNumber number) const {
  for (auto at = sessions_.lower_bound(Key{client, SessionId{0}}); at != sessions_.end() && at->first.first == client;
       ++at) {
    if (at->second.session.opened_by == number) return at->first.second;
  }
  return std::nullopt;
}

}  // namespace pbft::execution
