// Tables and words of pbftctl, also with what a faulty replica may have put into them.
#include "tools/pbftctl/output.h"

#include <catch2/catch.hpp>

#include "tools/pbftctl/status_text.h"

using namespace pbft::ctl;
using nlohmann::json;

TEST_CASE("Control characters become question marks, other text stays as it is") {
  CHECK(printable("caught up \xC3\xA4\xC2\xA0") == "caught up \xC3\xA4\xC2\xA0");
  CHECK(printable("a\nb\tc\rd\x1b[2J\x7f") == "a?b?c?d?[2J?");
  CHECK(printable(std::string("\0", 1)) == "?");
  CHECK(printable("\xC2\x9B"
                  "2J\xC2") == "?2J\xC2");  // CSI as one character; and text that is cut off
}

TEST_CASE("A cell can forge neither a row nor a column nor a colour") {
  Table table;
  table.add({{"NAME"}, {"STATE"}});
  table.add({{"A"}, {"ok\nB\tdiverged\x1b[0m", Table::Mark::bad}});
  CHECK(table.text(false) == "NAME\tSTATE\nA\tok?B?diverged?[0m\n");
  CHECK(table.text(true) == "\x1b[1mNAME\x1b[0m  \x1b[1mSTATE\x1b[0m\nA     \x1b[31mok?B?diverged?[0m\x1b[0m\n");
}

TEST_CASE("Each outcome has an exit code of its own, but for what ran and failed and what was refused") {
  using Kind = pbft::client::OutcomeKind;
  CHECK(exit_code(Kind::ok) == 0);
  CHECK(exit_code(Kind::failed) == 1);
  CHECK(exit_code(Kind::refused) == 1);
  CHECK(exit_code(Kind::timed_out) == 3);
  CHECK(exit_code(Kind::busy) == 4);
  CHECK(exit_code(Kind::unknown) == 5);
}

TEST_CASE("A view that is being changed says so") {
  CHECK(view_text({{"view", 3}, {"view_active", true}}) == "3");
  CHECK(view_text({{"view", 4}, {"view_active", false}}) == "4 (changing)");
  CHECK(view_text({{"view", 4}}) == "4");
  CHECK(view_text({{"view", "4"}, {"view_active", "no"}}) == "?");
}

TEST_CASE("The state says what a replica does, or why it does not move") {
  const json transfer{{"active", true}, {"to", 5120}, {"buckets", 4096}, {"left", 2896}, {"bytes", 34'100'000}};
  CHECK(state_text({{"waiting_for", ""}}) == "ok");
  CHECK(state_text({{"waiting_for", "waiting for 1 of 3 COMMITs of 7 from MS"}}) ==
        "waiting for 1 of 3 COMMITs of 7 from MS");
  CHECK(state_text({{"catching_up", true}}) == "catching up");
  CHECK(state_text({{"catching_up", true}, {"waiting_for", "batches of the ledger, from 9 on"}}) ==
        "catching up: batches of the ledger, from 9 on");
  CHECK(state_text({{"transfer", transfer}, {"waiting_for", "waiting for buckets"}}) ==
        "state transfer to 5120: 1200 of 4096 buckets, 34 MB");
  CHECK(state_text({{"transfer", {{"active", true}, {"to", 5120}, {"buckets", 0}}}, {"waiting_for", "the digests"}}) ==
        "state transfer to 5120: the digests");
  CHECK(state_text({{"rejoining", true}, {"waiting_for", "has lost its memory"}}) == "rejoining: has lost its memory");
  CHECK(state_text({{"diverged", true}, {"rejoining", true}, {"transfer", transfer}}) ==
        "DIVERGED: state transfer to 5120: 1200 of 4096 buckets, 34 MB");
}

TEST_CASE("A state that makes no sense is no crash") {
  CHECK(state_text({{"transfer", 7}, {"waiting_for", {1, 2}}, {"diverged", "yes"}}) == "ok");
  CHECK(state_text({{"transfer", {{"active", true}, {"to", "x"}, {"buckets", 3}, {"left", 9}}}}) ==
        "state transfer to ?");
  CHECK(state_text(json::object()) == "ok");
}

TEST_CASE("An account that is no object, or nested so deep that it would take the stack, is none") {
  const auto nested = [](std::size_t depth, const std::string& open, const std::string& close) {
    std::string text = R"({"view": )";
    for (std::size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (std::size_t i = 0; i < depth; ++i) text += close;
    return text + "}";
  };
  CHECK(read_info(R"({"view": 3, "transfer": {"active": false}})") ==
        json{{"view", 3}, {"transfer", {{"active", false}}}});
  CHECK(read_info(nested(15, "[", "]")));
  CHECK(read_info(nested(15, "{\"a\":", "}")));
  CHECK_FALSE(read_info(nested(16, "[", "]")));
  CHECK_FALSE(read_info(nested(500'000, "[", "]")));
  CHECK_FALSE(read_info(nested(150'000, "{\"a\":", "}")));
  for (const char* text : {"", "[]", "7", "null", "{", "{} {}", R"({"view": })"}) {
    CAPTURE(text);
    CHECK_FALSE(read_info(text));
  }
}

TEST_CASE("Bytes are shown with the unit that fits") {
  CHECK(bytes_text(0) == "0 B");
  CHECK(bytes_text(999) == "999 B");
  CHECK(bytes_text(1000) == "1.0 kB");
  CHECK(bytes_text(9'960) == "10 kB");
  CHECK(bytes_text(999'499) == "999 kB");
  CHECK(bytes_text(999'600) == "1.0 MB");
  CHECK(bytes_text(34'100'000) == "34 MB");
  CHECK(bytes_text(~std::uint64_t{0}) == "18 EB");
}
