// An event descriptor: set by any thread, seen by one that polls for it. Not lost if it is set before the poll.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace pbft::bus {

class WakeUp {
 public:
  [[nodiscard]] static tl::expected<WakeUp, std::string> create();
  WakeUp(WakeUp&& other) noexcept;
  WakeUp& operator=(WakeUp&&) = delete;
  ~WakeUp();

  void set() const;  // any thread
  void clear() const;
  [[nodiscard]] int descriptor() const { return descriptor_; }  // readable while set

 private:
  explicit WakeUp(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace pbft::bus
