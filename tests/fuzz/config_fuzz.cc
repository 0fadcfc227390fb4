// The configuration file. Whatever the text, it is a configuration or one line that names the file; and a configuration is
// written and read back as it was.
//
// Input: the text.
#include <fmt/format.h>

#include "base/check.h"
#include "replica/config.h"
#include "tests/fuzz/fuzz.h"

namespace synod::fuzz {
namespace {

constexpr std::string_view smallest = R"(cluster = "c"
replica = 1
data = "memory"
[[member]]
id = 1
[[port]]
name = "p"
kind = "udp"
address = "127.0.0.1:7400"
)";

constexpr std::string_view largest = R"(# every key that there is
cluster = 'a "quoted" name'
replica = 2
data = "/data/with \"quotes\", a \\ and a\ttab \u00E4"
memory_mb = 77
idle = "spin"
core = 3

[timeouts]
heartbeat_ms = 7
election_ms_min = 80
election_ms_max = 90

[[member]]
id = 1
address = "10.0.0.1:7400"
port = "wire"
[[member]]
id = 2
[[member]]
id = 9
address = "10.0.0.9:1"
port = "to-9"

[[port]]
name = "to-9"
kind = "pair"
address = "10.0.0.2:7400"
socket = "/s/x.sock"
server = true
[[port]]
name = "wire"
kind = "dpdk"
address = "10.0.0.2:7402"
device = "net_tap0,iface=t"
mtu = 9000
)";

// The same in the other notations of TOML.
constexpr std::string_view inlined = R"(cluster = """
c"""
replica = 0x01
data = '''d'''
timeouts = { heartbeat_ms = 1_0, election_ms_min = 0b11_0010 }
member = [ { id = 1 }, { "id" = 0o2, address = "10.0.0.2:7400", 'port' = "p" } ]
port = [ { name = "p", kind = "udp", address = "10.0.0.1:7400" } ]
)";

}  // namespace

bool run(Bytes input) {
  const std::string text(reinterpret_cast<const char*>(input.data()), input.size());
  const auto config = replica::parse_config(text, "a.toml");
  if (!config) {
    CHECK(config.error().text.starts_with("a.toml:"));
    const std::string_view behind_name = std::string_view(config.error().text).substr(7);
    CHECK(std::ranges::none_of(config.error().text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
    return behind_name.starts_with(' ');  // it was TOML; else the number of a line follows
  }
  const std::string written = replica::to_toml(*config);
  const auto read = replica::parse_config(written, "b.toml");
  if (!read) fmt::print(stderr, "{}\n{}", read.error().text, written);
  CHECK(read.has_value());
  CHECK(replica::to_toml(*read) == written);
  CHECK(read->cluster == config->cluster && read->data == config->data && read->cores == config->cores &&
        read->groups == config->groups);
  CHECK_EQ(read->timeouts.step_down_us, config->timeouts.step_down_us);
  CHECK_EQ(read->timeouts.stall_us, config->timeouts.stall_us);
  CHECK(std::ranges::count(read->member_ids(), read->replica) == 1);
  return true;
}

std::vector<Example> examples() {
  std::vector<Example> all(3);
  put_bytes(all[0], bytes_of(smallest));
  put_bytes(all[1], bytes_of(largest));
  put_bytes(all[2], bytes_of(inlined));
  return all;
}

}  // namespace synod::fuzz
