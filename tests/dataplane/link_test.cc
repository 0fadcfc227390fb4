// Two ports of this process, joined over every kind of port. af_packet and af_xdp need root: veth in a network namespace.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "dataplane/eal.h"
#include "dataplane/link.h"
#include "dataplane/veth.h"
#include "tests/dataplane/echo.h"

namespace synod::dataplane {
namespace {

class LinkTest : public testing::TestWithParam<LinkKind> {
 protected:
  static void SetUpTestSuite() {
    const auto started = start_eal({.memory_mb = 256, .huge_pages = false});
    ASSERT_TRUE(started) << started.error().text;
  }
};

TEST_P(LinkTest, MessagesOfAllSizesGoThereAndBack) {
  const bool needs_veth = GetParam() == LinkKind::af_packet || GetParam() == LinkKind::af_xdp;
  const auto entered = needs_veth ? enter_network_namespace() : Result<>();
  if (!entered) GTEST_SKIP() << entered.error().text;
  auto pool = PacketPool::make(2048, mtu_jumbo);
  ASSERT_TRUE(pool) << pool.error().text;
  // Twice: nothing of the first may be in the way of the second.
  for (int time = 0; time < 2; ++time) {
    auto link = Link::make({.kind = GetParam(), .a = endpoint_a, .b = endpoint_b}, pool->get());
    if (!link && GetParam() == LinkKind::af_xdp) GTEST_SKIP() << "no AF_XDP here: " << link.error().text;
    ASSERT_TRUE(link) << link.error().text;
    Messenger a(identity(1), {});
    Messenger b(identity(2), {});
    a.add_port((*link)->a().port);
    b.add_port((*link)->b().port);
    for (const std::size_t bytes : {0UL, 1UL, 128UL, 1344UL, 1345UL, 8845UL, 65536UL}) expect_echo(a, b, (*link)->b().at, bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, LinkTest,
                         testing::Values(LinkKind::ring, LinkKind::pair, LinkKind::af_packet, LinkKind::af_xdp, LinkKind::udp),
                         [](const auto& kind) { return std::string(name(kind.param)); });

bool has_left_a_socket() {
  const std::string prefix = "synod-" + std::to_string(::getpid()) + "-";
  const std::filesystem::directory_iterator files(std::filesystem::temp_directory_path());
  return std::ranges::any_of(files, [&](const auto& file) { return file.path().filename().string().starts_with(prefix); });
}

// An attach that ends in vain must wake itself first, and its peer's half may be there already.
TEST(LinkEnd, a_pair_for_which_there_is_no_memory_says_so_and_leaves_nothing_behind) {
  ASSERT_TRUE(start_eal({.memory_mb = 256, .huge_pages = false}));
  std::vector<std::unique_ptr<Link>> links;
  std::string error;
  while (error.empty() && links.size() < 16) {
    auto link = Link::make({.kind = LinkKind::pair, .a = endpoint_a, .b = endpoint_b}, nullptr);
    if (link) {
      links.push_back(*std::move(link));
    } else {
      error = link.error().text;
    }
  }
  EXPECT_FALSE(links.empty());
  EXPECT_NE(error.find("no memory"), std::string::npos) << error;
  EXPECT_FALSE(has_left_a_socket());
  // And there is room again.
  links.clear();
  EXPECT_TRUE(Link::make({.kind = LinkKind::pair, .a = endpoint_a, .b = endpoint_b}, nullptr));
}

TEST(LinkKinds, have_names_that_are_found_again) {
  for (const char* const each : {"ring", "pair", "af_packet", "af_xdp", "udp"}) {
    const auto kind = link_kind_of(each);
    ASSERT_TRUE(kind) << each;
    EXPECT_STREQ(name(*kind), each);
  }
  EXPECT_FALSE(link_kind_of("dpdk"));
}

}  // namespace
}  // namespace synod::dataplane
