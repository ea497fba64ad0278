// What the bus counts, by name. Any thread may count and read.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace pbft::bus {

enum class Counter : std::uint8_t {
  zap_accepted,
  zap_refused_unknown_key,
  zap_refused_mechanism,
  zap_refused_domain,
  zap_malformed,
  peer_frames_sent,
  peer_frames_received,
  peer_send_dropped,
  peer_multipart,
  peer_oversized,
  peer_user_id_missing,
  peer_unexpected,
  peer_accepted,
  peer_handshake_failed,
  peer_disconnected,
  client_frames_sent,
  client_frames_received,
  client_multipart,
  client_oversized,
  client_user_id_missing,
  client_chosen_routing_id,
  client_no_route,
  client_unroutable,
  client_queue_full,
  client_routes_evicted,
  client_accepted,
  client_handshake_failed,
  client_disconnected,
  link_up,
  link_down,
  link_handshake_failed,
  link_renewed,
  send_oversized,
  count_
};

[[nodiscard]] const char* to_string(Counter counter);

class Counters {
 public:
  void add(Counter counter) { values_[index(counter)].fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get(Counter counter) const {
    return values_[index(counter)].load(std::memory_order_relaxed);
  }
  // All of them, zeros too, by name.
  [[nodiscard]] std::map<std::string, std::uint64_t> by_name() const;

 private:
  static constexpr std::size_t size = static_cast<std::size_t>(Counter::count_);
  static constexpr std::size_t index(Counter counter) { return static_cast<std::size_t>(counter); }

  std::array<std::atomic<std::uint64_t>, size> values_{};
};

}  // namespace pbft::bus
