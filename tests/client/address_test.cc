#include "client/address.h"

#include <gtest/gtest.h>

namespace synod::client {
namespace {

TEST(Address, PlainListIsInReplicaOrder) {
  const auto peers = parse_cluster("127.0.0.1:7401,10.0.0.2:7402");
  ASSERT_TRUE(peers);
  ASSERT_EQ(peers->size(), 2U);
  EXPECT_EQ((*peers)[1].id, ReplicaId(2));
  EXPECT_EQ((*peers)[1].route.endpoint, (dataplane::Endpoint{0x0A000002, 7402}));
}

TEST(Address, NamedIdsAreTaken) {
  const auto peers = parse_cluster("5=127.0.0.1:7401,2=127.0.0.1:7402");
  ASSERT_TRUE(peers);
  EXPECT_EQ((*peers)[0].id, ReplicaId(5));
  EXPECT_EQ((*peers)[1].id, ReplicaId(2));
}

TEST(Address, LocalhostIsResolved) {
  const auto peers = parse_cluster("localhost:7401");
  ASSERT_TRUE(peers) << peers.error().text;
  EXPECT_EQ((*peers)[0].route.endpoint.address, 0x7F000001U);
}

TEST(Address, WhatIsNotAnAddressIsRefused) {
  for (const char* text :
       {"", ",", "127.0.0.1", "127.0.0.1:", ":7400", "127.0.0.1:0", "127.0.0.1:70000", "0=127.0.0.1:7400", "x=127.0.0.1:7400",
        "127.0.0.1:7400,", "127.0.0.1:7400,127.0.0.1:7400", "1=127.0.0.1:1,127.0.0.1:2", "1=127.0.0.1:1,1=127.0.0.1:2",
        "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4,127.0.0.1:5,127.0.0.1:6,127.0.0.1:7,127.0.0.1:8"}) {
    EXPECT_FALSE(parse_cluster(text)) << text;
  }
}

}  // namespace
}  // namespace synod::client
