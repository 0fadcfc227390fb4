#include <gtest/gtest.h>

#include "tests/mutant.h"

int main(int argc, char** argv) {
  if (!synod::choose_mutant()) return 2;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
