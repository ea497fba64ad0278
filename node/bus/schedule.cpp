#include "node/bus/schedule.h"

#include <algorithm>

namespace pbft::bus {

std::size_t Schedule::add(Party party) {
  inputs_.push_back({party});
  return inputs_.size() - 1;
}

void Schedule::set_ready(std::size_t position) {
  inputs_[position].ready = true;
}

void Schedule::set_empty(std::size_t position) {
  inputs_[position].ready = false;
  // What nobody wanted is not owed.
  if (!replicas_ready()) clients_debt_ = Duration::zero();
}

bool Schedule::any_ready() const {
  return std::any_of(inputs_.begin(), inputs_.end(), [](const Input& input) { return input.ready; });
}

bool Schedule::replicas_ready() const {
  return std::any_of(inputs_.begin(), inputs_.end(),
                     [](const Input& input) { return input.ready && input.party == Party::replicas; });
}

void Schedule::begin_poll() {
  used_ = Duration::zero();
  over_ = false;
}

bool Schedule::may_go(const Input& input) const {
  if (!input.ready) return false;
  return input.party == Party::replicas || clients_debt_ == Duration::zero() || !replicas_ready();
}

bool Schedule::turn_is_over() const {
  return taken_ == quantum || (inputs_[turn_].party == Party::replicas && turn_used_ >= slow);
}

void Schedule::pass_turn() {
  turn_ = (turn_ + 1) % inputs_.size();
  taken_ = 0;
  turn_used_ = Duration::zero();
}

std::optional<std::size_t> Schedule::next() {
  if (over_ || !any_ready()) return std::nullopt;
  if (turn_is_over()) pass_turn();
  // Ends: where a client's socket may not go, a replica's may.
  while (!may_go(inputs_[turn_])) pass_turn();
  return turn_;
}

void Schedule::took(std::size_t position, Duration time) {
  ++taken_;
  turn_used_ += time;
  used_ += time;
  over_ = used_ >= budget_;
  if (inputs_[position].party == Party::clients) {
    clients_debt_ += time;
    over_ = over_ || time >= slow;
  } else {
    clients_debt_ = std::max(clients_debt_ - time, Duration::zero());
  }
}

}  // namespace pbft::bus
