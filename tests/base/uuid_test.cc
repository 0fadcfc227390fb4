#include "base/uuid.h"

#include <gtest/gtest.h>

namespace synod {
namespace {

TEST(DrawUuid, IsNeverNoneAndNeverTheSameTwice) {
  const Uuid first = draw_uuid();
  EXPECT_FALSE(first.is_none());
  EXPECT_NE(first, draw_uuid());
}

}  // namespace
}  // namespace synod
