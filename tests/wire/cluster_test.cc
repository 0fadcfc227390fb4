#include "wire/cluster.h"

#include <gtest/gtest.h>

namespace synod::wire {
namespace {

TEST(ClusterIdFormat, IsThatOfEveryVersion) {
  EXPECT_EQ(cluster_id("test").value(), 16683380517727509353U);
}

TEST(ClusterIdFormat, DiffersForNamesThatDifferInOneLetter) {
  EXPECT_NE(cluster_id("synod"), cluster_id("synoe"));
}

TEST(ClusterIdFormat, OfTheEmptyNameIsACluster) {
  EXPECT_NE(cluster_id(""), ClusterId{});
}

}  // namespace
}  // namespace synod::wire
