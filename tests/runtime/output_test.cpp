// Tables of pbftctl with what a faulty replica may have put into them.
#include "tools/pbftctl/output.h"

#include <catch2/catch.hpp>

using namespace pbft::ctl;

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
