#include <gtest/gtest.h>

#include "dataplane/port.h"

namespace synod::dataplane {
namespace {

TEST(Endpoint, TextRoundTrips) {
  for (const char* text : {"10.0.0.1:7400", "0.0.0.0:0", "255.255.255.255:65535", "127.0.0.1:1"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(to_string(*endpoint), text);
  }
  EXPECT_EQ(*parse_endpoint("10.1.2.3:7400"), (Endpoint{0x0A010203, 7400}));
}

TEST(Endpoint, AMissingPortIsNamed) {
  EXPECT_EQ(parse_endpoint("10.0.0.1").error().text, "'10.0.0.1' has no port: write it behind a colon, like 10.0.0.1:7400");
}

TEST(Endpoint, WhatIsNoAddressIsRefusedInOneLine) {
  for (const char* text : {"", "localhost:1", "10.0.0:1", "10.0.0.256:1", "10.0.0.1.2:1", "010.0.0.1:1", "-1.0.0.1:1", "1..2.3:4",
                           " 10.0.0.1:1", "[::1]:7400", "99999999999.0.0.1:1"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_NE(endpoint.error().text.find("is not an address: write"), std::string::npos) << endpoint.error().text;
    EXPECT_EQ(endpoint.error().text.find('\n'), std::string::npos);
  }
}

TEST(Endpoint, AWrongPortIsRefused) {
  for (const char* text : {"10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:x", "10.0.0.1:1x", "10.0.0.1:-1", "10.0.0.1:01"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_NE(endpoint.error().text.find("has no valid port"), std::string::npos) << endpoint.error().text;
  }
}

}  // namespace
}  // namespace synod::dataplane
