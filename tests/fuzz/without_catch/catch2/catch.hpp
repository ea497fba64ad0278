// What the support of the unit tests needs of Catch2, outside of a test program: a check that fails ends the program.
#pragma once

#include "tests/fuzz/fuzz.h"

#define REQUIRE(...) ::pbft::fuzz::holds(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__)
#define REQUIRE_FALSE(...) ::pbft::fuzz::holds(!static_cast<bool>(__VA_ARGS__), "not: " #__VA_ARGS__)
#define CHECK(...) REQUIRE(__VA_ARGS__)
#define CHECK_FALSE(...) REQUIRE_FALSE(__VA_ARGS__)
#define INFO(...) static_cast<void>(0)
#define CAPTURE(...) static_cast<void>(0)
#define FAIL(...) ::pbft::fuzz::violated("a test support function has failed")
