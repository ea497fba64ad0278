// How much of the state the operations of one batch may read and write. Constants of the protocol: what goes beyond
// them fails, and on all replicas alike, because what is counted follows from the state and the batch alone.
#pragma once

#include <cstddef>
#include <string>

namespace pbft::execution {

// Counted are the bytes of the keys and values that are read and written, call_bytes for each call, and pair_bytes for
// each pair that a scan comes past, erased ones of this batch included.
//
// An operation is ended where the batch
// - goes beyond large_bytes, and the operation itself beyond small_bytes and its own size, or
// - goes beyond batch_bytes.
// So operations that ask for much leave the last quarter to those that do not. Whose operation was ended is asked no
// more in this batch: hence all of a batch is at most batch_bytes and one pair for each client in it.
class WorkBudget {
 public:
  static constexpr std::size_t batch_bytes = 64U << 20;
  static constexpr std::size_t large_bytes = 48U << 20;
  static constexpr std::size_t small_bytes = 16U << 10;
  static constexpr std::size_t call_bytes = 512;
  static constexpr std::size_t pair_bytes = 64;

  // What follows is done for an operation of that size.
  void begin(std::size_t operation_bytes) {
    allowance_ = small_bytes + operation_bytes;
    own_ = 0;
    ended_ = false;
  }
  // False: that was too much, and the operation is to be ended.
  [[nodiscard]] bool take(std::size_t bytes) {
    if (ended_) return false;
    own_ += bytes;
    spent_ += bytes;
    ended_ = used_up() || (spent_ > large_bytes && own_ > allowance_);
    return !ended_;
  }
  [[nodiscard]] bool ended() const { return ended_; }
  // No operation of the batch is run any more.
  [[nodiscard]] bool used_up() const { return spent_ > batch_bytes; }
  [[nodiscard]] std::size_t spent() const { return spent_; }

  // The result of an operation that is ended, or not begun. A small one (ResultBudget).
  [[nodiscard]] static std::string refusal() {
    return "too much work at one time: what is executed together may read and write about " +
           std::to_string(large_bytes >> 20U) + " MiB of the state; send fewer at once, or ask for less";
  }

 private:
  std::size_t spent_ = 0;      // by the batch
  std::size_t own_ = 0;        // by the operation
  std::size_t allowance_ = 0;  // of the operation, whatever others have done
  bool ended_ = false;         // the operation was
};

}  // namespace pbft::execution
