// Runs the plugin without a cluster. Every operation runs twice, so a plugin that is not deterministic shows here.
#include <cstdio>

#include "pbft/testing.hpp"

static int failures = 0;

static void expect(const char* what, const std::string& is, const std::string& wanted) {
  if (is == wanted) return;
  std::printf("%s: is \"%s\", and \"%s\" was expected\n", what, is.c_str(), wanted.c_str());
  ++failures;
}

int main() {
  pbft::plugin::Harness harness(pbft_plugin());
  harness.set_time(5'000'000);
  expect("sign", harness.run({"sign", "hello world"}).text, "signed");
  expect("read", harness.run("read").text, "5 hello world\n");
  expect("an empty line", harness.execute("").ok ? "ok" : "failed", "failed");
  expect("the book after a failure", harness.run("read").text, "5 hello world\n");
  std::printf("%s\n", failures == 0 ? "all passed" : "failed");
  return failures == 0 ? 0 : 1;
}
