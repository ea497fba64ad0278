#include "tests/pbft/new_view_walk.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <iostream>

#include "tests/pbft/new_view_model.h"

using namespace pbft;
using namespace pbft::testing;

TEST_CASE("walk experiment") {
  for (auto [n, v] : {std::pair{4u, 2}, {5u, 2}, {6u, 2}, {4u, 3}, {7u, 1}, {7u, 2}}) {
    const auto begin = std::chrono::steady_clock::now();
    NewViewWalk walk{NewViewWalk::Setting{n, v}};
    const auto result = walk.run();
    std::cout << n << " " << v << " states " << walk.states() << " decisions " << walk.decisions() << " "
              << std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() << "\n"
              << result.value_or("") << std::endl;
    CHECK(!result);
  }
}
