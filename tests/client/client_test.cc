// The blocking client over kernel UDP, where nobody answers.
#include "client/client.h"

#include <gtest/gtest.h>

namespace synod::client {
namespace {

// A socket that is open, so that nobody else can answer there, and never read.
class SilentCluster {
 public:
  SilentCluster() : port_(*dataplane::UdpPort::open({0x7F000001, 0})) {}
  [[nodiscard]] std::unique_ptr<Client> connect() const {
    ClientOptions options;
    options.addresses = dataplane::to_string(port_->local());
    options.timeout_us = 50'000;
    return *Client::connect(options);
  }

 private:
  std::unique_ptr<dataplane::UdpPort> port_;
};

TEST(Client, AppendToASilentClusterIsNotAppended) {
  const SilentCluster cluster;
  const auto client = cluster.connect();
  const auto lsn = client->append(bytes_of("x"));
  ASSERT_FALSE(lsn);
  EXPECT_TRUE(lsn.error().text.starts_with("not appended (1 entry): the deadline passed")) << lsn.error().text;
  EXPECT_EQ(client->unfinished(), 0U);
  EXPECT_FALSE(client->append(bytes_of("the client goes on")));
}

TEST(Client, TooLargeAnEntryIsRefusedBeforeItIsSent) {
  const SilentCluster cluster;
  const auto client = cluster.connect();
  const std::string large(entry_bytes_max + 1, 'x');
  const auto done = client->submit(bytes_of(large));
  ASSERT_FALSE(done);
  EXPECT_TRUE(done.error().text.starts_with("not appended: ")) << done.error().text;
  EXPECT_EQ(client->unfinished(), 0U);
}

TEST(Client, TailOfASilentClusterFailsAtTheDeadline) {
  const SilentCluster cluster;
  EXPECT_FALSE(cluster.connect()->tail());
}

TEST(Client, TrimOfASilentClusterFailsAtTheDeadline) {
  const SilentCluster cluster;
  const auto client = cluster.connect();
  EXPECT_FALSE(client->trim(Lsn(1)));
  EXPECT_EQ(client->first_kept(), std::nullopt);
}

TEST(Client, SilentReplicasHaveNoStatus) {
  const SilentCluster cluster;
  const auto replicas = cluster.connect()->status(20'000);
  ASSERT_EQ(replicas.size(), 1U);
  EXPECT_FALSE(replicas[0].answer);
}

}  // namespace
}  // namespace synod::client
