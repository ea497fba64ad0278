// A place to run a plugin in without a cluster (C++17): state in memory, operations by text or by bytes. Independent
// of any test framework and of the node.
//
// Every operation runs on two instances with a state each, and both must give the same result and the same state: that
// finds the plugin that keeps state of its own, reads a clock or depends on addresses. All mistakes of a plugin
// (not: failed operations) are thrown as std::logic_error.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pbft/plugin.h"

namespace pbft::plugin {

struct Result {
  bool ok = true;
  std::string bytes;  // the result, or the message where it failed
  std::string text;   // in the text form, where the plugin has one
};

namespace detail {

inline std::string_view view(pbft_bytes b) {
  return b.size == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char*>(b.data), b.size);
}
inline pbft_bytes pass(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline pbft_writer collect(std::string& into) {
  return {&into, [](void* handle, const void* data, size_t size) {
            static_cast<std::string*>(handle)->append(static_cast<const char*>(data), size);
          }};
}

// One instance and its state, with the host's rules.
class Copy {
 public:
  using Map = std::map<std::string, std::string>;

  Copy(const pbft_plugin_v1& table, std::string_view config) : table_(table) {
    std::string error;
    if (table_.open != nullptr && table_.open(pass(config), collect(error), &instance_) != PBFT_OK) {
      throw std::invalid_argument("the plugin does not open: " + error);
    }
  }
  ~Copy() {
    if (table_.close != nullptr) table_.close(instance_);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  [[nodiscard]] void* instance() const { return instance_; }
  [[nodiscard]] const Map& state() const { return state_; }

  Result run(const pbft_context& context, std::string_view operation, bool query) {
    const auto function = query ? table_.query : table_.execute;
    if (function == nullptr) return {false, "the plugin answers no queries", ""};
    before_ = state_;
    query_ = query;
    refused_.clear();
    work_ = 0;
    const pbft_state functions{sizeof(pbft_state), this, &get, &put, &erase, &scan};
    Result result;
    const int status = function(instance_, &context, &functions, pass(operation), collect(result.bytes));
    if (status == PBFT_EXHAUSTED) {
      state_ = before_;
      throw std::logic_error(
          "the plugin ran out of memory, where a replica stops: check what an operation asks for before you allocate "
          "it");
    }
    if (status != PBFT_OK && status != PBFT_FAILED) throw std::logic_error("the plugin returned an unknown status");
    if (result.bytes.size() > PBFT_MAX_RESULT_BYTES) refuse("the result is too large");
    if (!refused_.empty()) result.bytes = refused_;
    result.ok = status == PBFT_OK && refused_.empty();
    if (!result.ok) state_ = before_;
    return result;
  }

 private:
  static Copy& self(void* handle) { return *static_cast<Copy*>(handle); }

  int refuse(const char* why) {
    if (refused_.empty()) refused_ = why;
    return PBFT_REFUSED;
  }
  int check(pbft_bytes key, size_t value_size) {
    if (key.size == 0 || key.size > PBFT_MAX_KEY_BYTES) return refuse("the key's length is beyond the limits");
    if (value_size > PBFT_MAX_VALUE_BYTES) return refuse("the value is too large");
    return PBFT_OK;
  }
  int work(size_t bytes) {
    work_ += bytes;
    return work_ <= PBFT_MAX_WORK_BYTES ? PBFT_OK : refuse("the operation reads and writes too much");
  }
  int may_change() {
    if (query_) return refuse("a query must not change the state");
    if (scans_ != 0) return refuse("a visitor of a scan must not change the state");
    return PBFT_OK;
  }

  static int get(void* handle, pbft_bytes key, pbft_bytes* value) {
    Copy& copy = self(handle);
    if (copy.work(PBFT_WORK_OF_CALL) != PBFT_OK || copy.check(key, 0) != PBFT_OK) return PBFT_REFUSED;
    const auto found = copy.state_.find(std::string(view(key)));
    const bool there = found != copy.state_.end();
    if (copy.work(key.size + (there ? found->second.size() : 0)) != PBFT_OK) return PBFT_REFUSED;
    if (!there) return PBFT_NOT_FOUND;
    copy.value_ = found->second;
    *value = pass(copy.value_);
    return PBFT_OK;
  }
  static int put(void* handle, pbft_bytes key, pbft_bytes value) {
    Copy& copy = self(handle);
    if (copy.work(PBFT_WORK_OF_CALL) != PBFT_OK) return PBFT_REFUSED;
    if (copy.may_change() != PBFT_OK || copy.check(key, value.size) != PBFT_OK) return PBFT_REFUSED;
    if (copy.work(key.size + value.size) != PBFT_OK) return PBFT_REFUSED;
    copy.state_[std::string(view(key))] = std::string(view(value));
    return PBFT_OK;
  }
  static int erase(void* handle, pbft_bytes key) {
    Copy& copy = self(handle);
    if (copy.work(PBFT_WORK_OF_CALL) != PBFT_OK) return PBFT_REFUSED;
    if (copy.may_change() != PBFT_OK || copy.check(key, 0) != PBFT_OK) return PBFT_REFUSED;
    if (copy.work(key.size) != PBFT_OK) return PBFT_REFUSED;
    copy.state_.erase(std::string(view(key)));
    return PBFT_OK;
  }
  static int scan(void* handle, pbft_bytes from, pbft_bytes to, int (*visit)(void*, pbft_bytes, pbft_bytes),
                  void* user) {
    Copy& copy = self(handle);
    if (copy.work(PBFT_WORK_OF_CALL) != PBFT_OK) return PBFT_REFUSED;
    int status = PBFT_OK;
    ++copy.scans_;
    for (auto at = copy.state_.lower_bound(std::string(view(from)));
         at != copy.state_.end() && (to.size == 0 || at->first < view(to)); ++at) {
      status = copy.work(PBFT_WORK_OF_PAIR + at->first.size() + at->second.size());
      if (status != PBFT_OK || visit(user, pass(at->first), pass(at->second)) == 0) break;
    }
    --copy.scans_;
    return status;
  }

  const pbft_plugin_v1& table_;
  void* instance_ = nullptr;
  Map state_;
  Map before_;
  std::string value_;    // what get has handed out
  std::string refused_;  // why the operation is lost
  bool query_ = false;
  int scans_ = 0;
  size_t work_ = 0;  // of the operation
};

}  // namespace detail

class Harness {
 public:
  // Throws std::invalid_argument with the plugin's message if it does not open.
  explicit Harness(const pbft_plugin_v1* table, std::string_view config = "")
      : table_(*table), first_(*table, config), second_(*table, config) {
    context_.struct_size = sizeof context_;
    context_.time_us = 1'000'000;
  }

  // One line of words, separated by blanks.
  Result run(std::string_view line) {
    std::vector<std::string> words;
    for (size_t at = line.find_first_not_of(' '); at != std::string_view::npos;) {
      const size_t end = std::min(line.find(' ', at), line.size());
      words.emplace_back(line.substr(at, end - at));
      at = line.find_first_not_of(' ', end);
    }
    return run_words(words);
  }
  Result run(std::initializer_list<std::string> words) { return run_words(words); }

  // Parses the words and runs the operation: in query if it is read-only, in execute otherwise.
  Result run_words(const std::vector<std::string>& words) {
    if (table_.parse == nullptr) throw std::logic_error("the plugin has no text form");
    std::vector<pbft_bytes> list;
    for (const std::string& word : words) list.push_back(detail::pass(word));
    Result parsed;
    int read_only = 0;
    parsed.ok =
        table_.parse(first_.instance(), list.data(), list.size(), &read_only, detail::collect(parsed.bytes)) == PBFT_OK;
    if (!parsed.ok) {
      parsed.text = parsed.bytes;
      return parsed;
    }
    return read_only != 0 ? query(parsed.bytes) : execute(parsed.bytes);
  }

  Result execute(std::string_view operation) {
    ++context_.sequence_number;
    return run_twice(operation, false);
  }
  Result query(std::string_view operation) { return run_twice(operation, true); }

  [[nodiscard]] const std::map<std::string, std::string>& state() const { return first_.state(); }
  void set_time(std::uint64_t microseconds) { context_.time_us = microseconds; }
  void set_client(const std::array<std::uint8_t, 32>& client) {
    for (size_t i = 0; i < client.size(); ++i) context_.client[i] = client[i];
  }

 private:
  Result run_twice(std::string_view operation, bool query) {
    Result result = first_.run(context_, operation, query);
    const std::string elsewhere(operation);  // The same bytes at another address.
    const Result other = second_.run(context_, elsewhere, query);
    if (result.ok != other.ok || result.bytes != other.bytes || first_.state() != second_.state()) {
      throw std::logic_error("the plugin is not deterministic: two instances differ after the same operations");
    }
    result.text = result.bytes;
    if (result.ok && table_.format != nullptr) {
      result.text.clear();
      if (table_.format(first_.instance(), detail::pass(operation), detail::pass(result.bytes),
                        detail::collect(result.text)) != PBFT_OK) {
        throw std::logic_error("the plugin cannot format a result of its own: " + result.text);
      }
    }
    return result;
  }

  const pbft_plugin_v1& table_;
  detail::Copy first_;
  detail::Copy second_;
  pbft_context context_{};
};

}  // namespace pbft::plugin
