// Protocol stories as text: commands in, what every replica then does out. See tests/testdata/README.md.
#pragma once

#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "tests/pbft/harness.h"

namespace pbft::testing {

class Transcript {
 public:
  // Runs the commands of a transcript ("> ..." lines) and returns the whole text as it should be: comments and
  // commands as they stand, outputs anew. Throws std::runtime_error, naming the line, for a command that is not known.
  [[nodiscard]] std::string rerun(const std::string& text);

 private:
  using Words = std::map<std::string, std::string>;
  void command(const std::string& name, const Words& words);
  void watch(CoreNode& node);
  void show_step(const CoreNode& node, const Input& input, const Effects& effects);

  [[nodiscard]] std::string name(const Digest& digest);
  [[nodiscard]] std::string describe(const PeerMessage& message);
  [[nodiscard]] std::string describe(const ViewChange& message);
  [[nodiscard]] std::string describe(const JournalRecord& record);
  [[nodiscard]] std::string describe(const Send& send);
  [[nodiscard]] std::string describe(const ExecuteEffect& effect);
  [[nodiscard]] std::string describe(const Batch& batch);

  std::unique_ptr<CoreCluster> cluster_;
  std::map<Digest, std::string> digests_;
  std::map<std::uint64_t, SessionId> sessions_;  // by client
  std::ostringstream out_;
};

}  // namespace pbft::testing
