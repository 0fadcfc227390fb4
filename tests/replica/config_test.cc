// The configuration file: what is written is read back, and each mistake is one line that names the file and the key.
#include "replica/config.h"

#include <gtest/gtest.h>

#include <string>

namespace synod::replica {
namespace {

constexpr const char* good = R"(cluster = "c"
replica = 1
data = "/d"
[[member]]
id = 1
[[member]]
id = 2
address = "10.0.0.2:7400"
port = "peers"
[[port]]
name = "peers"
kind = "udp"
address = "10.0.0.1:7400"
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

Config full() {
  Config config;
  config.cluster = R"(a "quoted" \ name)";
  config.replica = ReplicaId(2);
  config.data = "/data/with \"quotes\", a \\ and a\ttab";
  config.memory_mb = 77;
  config.idle = dataplane::IdlePolicy::spin;
  config.cores = {3};
  config.timeouts.heartbeat_us = 7'000;
  config.timeouts.election_us_min = 80'000;
  config.timeouts.election_us_max = 90'000;
  config.timeouts.stall_us = 70'000;
  config.retention.bytes = 10ULL << 30;
  config.retention.age_s = 90;
  config.members = {{ReplicaId(1), {0x0A000001, 7400}, "wire"}, {ReplicaId(2), {}, {}}, {ReplicaId(9), {0x0A000009, 1}, "to-9"}};
  config.ports = {
      {.name = "clients", .kind = PortConfig::Kind::udp, .address = {0x7F000001, 7401}},
      {.name = "to-9", .kind = PortConfig::Kind::pair, .address = {0x0A000002, 7400}, .device = "/s/\"x\".sock", .server = true},
      {.name = "wire",
       .kind = PortConfig::Kind::device,
       .address = {0x0A000002, 7402},
       .device = "net_tap0,iface=t",
       .mtu = 9000}};
  return config;
}

TEST(Config, is_read_back_as_it_was_written) {
  const Config config = full();
  const auto read = parse_config(to_toml(config), "a.toml");
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->cluster, config.cluster);
  EXPECT_EQ(read->replica, config.replica);
  EXPECT_EQ(read->data, config.data);
  EXPECT_EQ(read->memory_mb, config.memory_mb);
  EXPECT_EQ(read->idle, config.idle);
  EXPECT_EQ(read->groups, config.groups);
  EXPECT_EQ(read->cores, config.cores);
  EXPECT_EQ(read->timeouts.heartbeat_us, config.timeouts.heartbeat_us);
  EXPECT_EQ(read->timeouts.election_us_min, config.timeouts.election_us_min);
  EXPECT_EQ(read->timeouts.election_us_max, config.timeouts.election_us_max);
  EXPECT_EQ(read->timeouts.stall_us, config.timeouts.stall_us);
  EXPECT_EQ(read->retention, config.retention);
  ASSERT_EQ(read->members.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read->members[i].id, config.members[i].id);
    EXPECT_EQ(read->members[i].address, config.members[i].address);
    EXPECT_EQ(read->members[i].port, config.members[i].port);
  }
  ASSERT_EQ(read->ports.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read->ports[i].name, config.ports[i].name);
    EXPECT_EQ(read->ports[i].kind, config.ports[i].kind);
    EXPECT_EQ(read->ports[i].address, config.ports[i].address);
    EXPECT_EQ(read->ports[i].device, config.ports[i].device);
    EXPECT_EQ(read->ports[i].server, config.ports[i].server);
    EXPECT_EQ(read->ports[i].mtu, config.ports[i].mtu);
  }
  EXPECT_EQ(to_toml(*read), to_toml(config));
}

TEST(Config, has_defaults_for_what_is_not_named) {
  const auto config = parse_config(good, "a.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->idle, dataplane::IdlePolicy::sleep);
  EXPECT_TRUE(config->cores.empty());
  EXPECT_EQ(config->groups, 1U);
  EXPECT_FALSE(config->retention.is_on());
  EXPECT_EQ(config->timeouts.heartbeat_us, consensus::Timeouts{}.heartbeat_us);
  EXPECT_EQ(config->timeouts.stall_us, consensus::Timeouts{}.stall_us);
  EXPECT_EQ(config->member_ids(), (std::vector<ReplicaId>{ReplicaId(1), ReplicaId(2)}));
}

Config with_groups() {
  Config config = full();
  config.groups = 2;
  config.cores = {3, 5};
  config.ports.pop_back();  // a device
  config.members = {{ReplicaId(1), {0x0A000001, 7400}, "clients"}, {ReplicaId(2), {}, {}}, {ReplicaId(9), {9, 1}, "to-9"}};
  return config;
}

TEST(Config, of_several_groups_is_read_back_and_gives_each_its_own) {
  const auto read = parse_config(to_toml(with_groups()), "a.toml");
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->groups, 2U);
  EXPECT_EQ(read->cores, (std::vector<unsigned>{3, 5}));
  const Config first = read->of_group(GroupId(0));
  const Config second = read->of_group(GroupId(1));
  EXPECT_EQ(first.data, read->data + "/group-0");
  EXPECT_EQ(second.data, read->data + "/group-1");
  EXPECT_EQ(second.cores, std::vector<unsigned>{5});
  EXPECT_EQ(first.ports[0].address.port, 7401);
  EXPECT_EQ(second.ports[0].address.port, 7402);
  EXPECT_EQ(first.ports[1].device, read->ports[1].device);
  EXPECT_EQ(second.ports[1].device, read->ports[1].device + ".1");
  EXPECT_EQ(second.members[0].address, (dataplane::Endpoint{0x0A000001, 7401}));
}

TEST(Config, of_one_group_has_its_data_where_it_says) {
  const auto config = parse_config(good, "a.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->of_group(GroupId(0)).data, config->data);
}

TEST(Config, groups_need_ports_of_their_own) {
  const auto error_of = [](Config config) {
    const auto read = parse_config(to_toml(config), "a.toml");
    return read ? "it was taken" : read.error().text;
  };
  Config config = with_groups();
  config.members[0].address = {0x7F000001, 7402};  // our own second port
  EXPECT_NE(error_of(config).find("are 1 ports apart, and 2 groups need as many"), std::string::npos) << error_of(config);
  config = with_groups();
  config.members[0].address.port = 65535;
  EXPECT_NE(error_of(config).find("none behind 65535"), std::string::npos) << error_of(config);
  config = full();
  config.groups = 2;
  config.cores = {1, 2};
  EXPECT_EQ(error_of(config), "it was taken") << "a device has a queue for each group";
  config = with_groups();
  config.cores = {1};
  EXPECT_NE(error_of(config).find("name one core for each group"), std::string::npos) << error_of(config);
}

TEST(Config, takes_retention_as_an_inline_table_too) {
  const auto config = parse_config("retention = {age = \"7d\"}\n" + std::string(good), "a.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->retention.bytes, std::nullopt);
  EXPECT_EQ(config->retention.age_s, 7U * 86'400);
}

// A leader that hears from its followers once a heartbeat must not count as deaf in between.
TEST(Config, a_leader_with_slow_heartbeats_waits_longer_before_it_steps_down) {
  const auto config = parse_config(std::string(good) + "[timeouts]\nheartbeat_ms = 500\nelection_ms_min = 2000\n", "a.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_GE(config->timeouts.step_down_us, 2'000'000U);
  EXPECT_EQ(config->timeouts.election_us_max, 2'600'000U);
  EXPECT_GE(config->timeouts.step_down_us, config->timeouts.election_us_max);
}

struct Mistake {
  const char* name;
  std::string text;
  const char* key;  // what the line must name besides the file
};

class ConfigMistake : public ::testing::TestWithParam<Mistake> {};

TEST_P(ConfigMistake, is_one_line_that_names_file_and_key) {
  const auto config = parse_config(GetParam().text, "some/file.toml");
  ASSERT_FALSE(config);
  const std::string& line = config.error().text;
  EXPECT_EQ(line.rfind("some/file.toml:", 0), 0U) << line;
  EXPECT_NE(line.find(GetParam().key), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
}

const std::string pair_port = replaced(good, "kind = \"udp\"", "kind = \"pair\"");

const Mistake mistakes[] = {
    {"not_toml", "cluster = \n", "1"},
    {"broken_in_the_third_line", replaced(good, "data = \"/d\"", "data = \"/d"), "3"},
    {"no_cluster", replaced(good, "cluster = \"c\"\n", ""), "'cluster'"},
    {"empty_cluster", replaced(good, "\"c\"", "\"\""), "'cluster'"},
    {"cluster_is_a_number", replaced(good, "\"c\"", "5"), "'cluster'"},
    {"no_replica", replaced(good, "replica = 1\n", ""), "'replica'"},
    {"replica_zero", replaced(good, "replica = 1", "replica = 0"), "'replica'"},
    {"replica_too_large", replaced(good, "replica = 1", "replica = 65536"), "'replica'"},
    {"replica_is_text", replaced(good, "replica = 1", "replica = \"1\""), "'replica'"},
    {"replica_not_a_member", replaced(good, "replica = 1", "replica = 3"), "replica 3"},
    {"no_data", replaced(good, "data = \"/d\"\n", ""), "'data'"},
    {"unknown_key", "colour = 1\n" + std::string(good), "'colour'"},
    {"a_line_break_in_a_key", "\"a\\nb\" = 1\n" + std::string(good), "'a\\u000Ab'"},
    {"a_line_break_in_a_value", replaced(good, "port = \"peers\"", "port = \"p\\nq\""), "'p\\u000Aq'"},
    {"a_line_break_where_a_value_should_be", replaced(good, "replica = 1", "replica = t"), "2: "},
    {"memory_too_small", "memory_mb = 1\n" + std::string(good), "'memory_mb'"},
    {"unknown_idle", "idle = \"nap\"\n" + std::string(good), "'idle'"},
    {"core_negative", "core = -1\n" + std::string(good), "'core'"},
    {"no_members", "cluster = \"c\"\nreplica = 1\ndata = \"/d\"\n", "[[member]]"},
    {"members_are_a_number", "member = 3\ncluster = \"c\"\nreplica = 1\ndata = \"/d\"\n", "[[member]]"},
    {"member_list_of_numbers", "member = [3]\ncluster = \"c\"\nreplica = 1\ndata = \"/d\"\n", "member"},
    {"member_without_id", replaced(good, "id = 2\n", ""), "'id'"},
    {"member_zero", replaced(good, "id = 2", "id = 0"), "'id'"},
    {"member_twice", replaced(good, "[[port]]", "[[member]]\nid = 2\n[[port]]"), "member 2"},
    {"member_unknown_key", replaced(good, "id = 2", "id = 2\nhost = \"x\""), "'host'"},
    {"member_without_address", replaced(good, "address = \"10.0.0.2:7400\"\n", ""), "'address'"},
    {"member_address_wrong", replaced(good, "10.0.0.2:7400", "10.0.0.2"), "'address'"},
    {"member_address_without_port", replaced(good, "10.0.0.2:7400", "10.0.0.2:0"), "'address'"},
    {"member_on_unknown_port", replaced(good, "port = \"peers\"", "port = \"pears\""), "'pears'"},
    {"member_without_port", replaced(good, "port = \"peers\"\n", ""), "'port'"},
    {"too_many_members",
     std::string(good) +
         "[[member]]\nid=3\n[[member]]\nid=4\n[[member]]\nid=5\n[[member]]\nid=6\n[[member]]\nid=7\n[[member]]\nid=8\n",
     "members"},
    {"no_ports", replaced(good, "[[port]]\nname = \"peers\"\nkind = \"udp\"\naddress = \"10.0.0.1:7400\"\n", ""), "[[port]]"},
    {"an_empty_list_of_ports", "port = []\ncluster = \"c\"\nreplica = 1\ndata = \"/d\"\n[[member]]\nid = 1\n", "[[port]]"},
    {"port_is_a_table", replaced(good, "[[port]]", "[port]"), "[[port]]"},
    {"port_without_name", replaced(good, "name = \"peers\"\n", ""), "'name'"},
    {"port_twice", std::string(good) + "[[port]]\nname = \"peers\"\nkind = \"udp\"\naddress = \"10.0.0.1:7401\"\n", "'peers'"},
    {"port_without_kind", replaced(good, "kind = \"udp\"\n", ""), "'kind'"},
    {"port_of_unknown_kind", replaced(good, "\"udp\"", "\"tcp\""), "'tcp'"},
    {"port_without_address", replaced(good, "address = \"10.0.0.1:7400\"\n", ""), "'address'"},
    {"port_unknown_key", std::string(good) + "speed = 1\n", "'speed'"},
    {"port_mtu_too_small", std::string(good) + "mtu = 100\n", "'mtu'"},
    {"pair_without_socket", pair_port, "'socket'"},
    {"pair_server_is_text", pair_port + "socket = \"/s\"\nserver = \"yes\"\n", "'server'"},
    {"device_without_device", replaced(good, "kind = \"udp\"", "kind = \"dpdk\""), "'device'"},
    {"udp_with_a_socket", std::string(good) + "socket = \"/s\"\n", "'socket'"},
    {"timeouts_are_a_number", "timeouts = 3\n" + std::string(good), "'timeouts'"},
    {"timeouts_unknown_key", std::string(good) + "[timeouts]\nheartbeat = 3\n", "'heartbeat'"},
    {"retention_is_a_number", "retention = 3\n" + std::string(good), "'retention'"},
    {"retention_unknown_key", std::string(good) + "[retention]\ndays = 3\n", "'days'"},
    {"retention_bytes_are_a_number", std::string(good) + "[retention]\nbytes = 3\n", "'bytes'"},
    {"retention_bytes_zero", std::string(good) + "[retention]\nbytes = \"0GiB\"\n", "'bytes'"},
    {"retention_bytes_without_unit", std::string(good) + "[retention]\nbytes = \"10\"\n", "'bytes'"},
    {"retention_bytes_too_many", std::string(good) + "[retention]\nbytes = \"9999999999TiB\"\n", "'bytes'"},
    {"retention_age_of_unknown_unit", std::string(good) + "[retention]\nage = \"7w\"\n", "'age'"},
    {"retention_age_negative", std::string(good) + "[retention]\nage = \"-7d\"\n", "'age'"},
    {"heartbeat_zero", std::string(good) + "[timeouts]\nheartbeat_ms = 0\n", "'heartbeat_ms'"},
    {"election_below_heartbeat", std::string(good) + "[timeouts]\nheartbeat_ms = 100\nelection_ms_min = 150\n",
     "election_ms_min"},
    {"election_max_below_min", std::string(good) + "[timeouts]\nelection_ms_min = 200\nelection_ms_max = 200\n",
     "election_ms_max"},
};

INSTANTIATE_TEST_SUITE_P(Each, ConfigMistake, ::testing::ValuesIn(mistakes),
                         [](const auto& mistake) { return std::string(mistake.param.name); });

TEST(Config, a_file_that_is_not_there_is_named) {
  const auto config = load_config("/nowhere/a.toml");
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().text.find("/nowhere/a.toml"), std::string::npos) << config.error().text;
}

TEST(Config, a_directory_is_not_a_file) {
  const auto config = load_config("/");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text.find('\n'), std::string::npos) << config.error().text;
}

}  // namespace
}  // namespace synod::replica
