#include "replica/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "wire/limits.h"

namespace synod::replica {

namespace {

constexpr std::uint64_t core_max = 1023;

// One table of the file, with its place for messages.
class Table {
 public:
  Table(const toml::table& table, std::string place) : table_(table), place_(std::move(place)) {}

  [[nodiscard]] Result<> only(std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : table_) {
      if (std::ranges::find(known, key.str()) != known.end()) continue;
      return fail(fmt::format("{}: unknown key '{}'; known here: {}", place_, key.str(), fmt::join(known, ", ")));
    }
    return {};
  }

  [[nodiscard]] Result<std::string> text(std::string_view key) const {
    const auto value = table_[key].value_exact<std::string>();
    if (!value || value->empty()) return fail(fmt::format("{}: '{}' is missing or not a string", place_, key));
    return *value;
  }
  [[nodiscard]] Result<std::string> text_or(std::string_view key, std::string fallback) const {
    return table_.contains(key) ? text(key) : Result<std::string>(std::move(fallback));
  }
  [[nodiscard]] Result<std::uint64_t> number(std::string_view key, std::uint64_t low, std::uint64_t high) const {
    const auto value = table_[key].value_exact<std::int64_t>();
    if (!value || *value < static_cast<std::int64_t>(low) || *value > static_cast<std::int64_t>(high)) {
      return fail(fmt::format("{}: '{}' is missing or not a number from {} to {}", place_, key, low, high));
    }
    return static_cast<std::uint64_t>(*value);
  }
  [[nodiscard]] Result<std::uint64_t> number_or(std::string_view key, std::uint64_t low, std::uint64_t high,
                                                std::uint64_t fallback) const {
    return table_.contains(key) ? number(key, low, high) : Result<std::uint64_t>(fallback);
  }
  [[nodiscard]] Result<bool> flag_or(std::string_view key, bool fallback) const {
    if (!table_.contains(key)) return fallback;
    const auto value = table_[key].value_exact<bool>();
    if (!value) return fail(fmt::format("{}: '{}' is not true or false", place_, key));
    return *value;
  }
  [[nodiscard]] Result<dataplane::Endpoint> endpoint(std::string_view key) const {
    const auto value = text(key);
    if (!value) return std::unexpected(value.error());
    auto parsed = dataplane::parse_endpoint(*value);
    if (!parsed) return fail(fmt::format("{}: '{}': {}", place_, key, parsed.error().text));
    return *parsed;
  }
  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
  [[nodiscard]] const std::string& place() const { return place_; }

 private:
  const toml::table& table_;
  std::string place_;
};

// Assigns a result's value or returns its error from the enclosing function.
#define TAKE(target, expression)                                 \
  do {                                                           \
    auto taken = (expression);                                   \
    if (!taken) return std::unexpected(taken.error());           \
    (target) = static_cast<decltype(target)>(*std::move(taken)); \
  } while (false)

Result<MemberConfig> parse_member(const Table& table) {
  if (const auto known = table.only({"id", "address", "port"}); !known) return std::unexpected(known.error());
  MemberConfig member;
  std::uint64_t id = 0;
  TAKE(id, table.number("id", 1, 65535));
  member.id = ReplicaId(static_cast<std::uint16_t>(id));
  if (table.has("address")) TAKE(member.address, table.endpoint("address"));
  TAKE(member.port, table.text_or("port", ""));
  return member;
}

Result<PortConfig> parse_port(const Table& table) {
  if (const auto known = table.only({"name", "kind", "address", "device", "socket", "server", "mtu"}); !known) {
    return std::unexpected(known.error());
  }
  PortConfig port;
  std::string kind;
  const auto only_of = [&](std::string_view key, std::string_view wanted) -> Result<> {
    if (!table.has(key) || kind == wanted) return {};
    return fail(fmt::format("{}: '{}' belongs to a port of kind '{}', and this one is '{}'", table.place(), key, wanted, kind));
  };
  TAKE(port.name, table.text("name"));
  TAKE(kind, table.text("kind"));
  if (kind != "udp" && kind != "pair" && kind != "dpdk") {
    return fail(fmt::format("{}: unknown 'kind' '{}'; known: udp, pair, dpdk", table.place(), kind));
  }
  for (const auto& [key, wanted] : {std::pair{"socket", "pair"}, std::pair{"server", "pair"}, std::pair{"device", "dpdk"}}) {
    if (auto fits = only_of(key, wanted); !fits) return std::unexpected(fits.error());
  }
  TAKE(port.address, table.endpoint("address"));
  TAKE(port.mtu, table.number_or("mtu", 1000, 9000, 0));
  if (kind == "udp") {
    port.kind = PortConfig::Kind::udp;
  } else if (kind == "pair") {
    port.kind = PortConfig::Kind::pair;
    TAKE(port.device, table.text("socket"));
    TAKE(port.server, table.flag_or("server", false));
  } else {
    port.kind = PortConfig::Kind::device;
    TAKE(port.device, table.text("device"));
  }
  return port;
}

Result<> parse_timeouts(const Table& table, consensus::Timeouts& timeouts) {
  if (const auto known = table.only({"heartbeat_ms", "election_ms_min", "election_ms_max", "stall_ms"}); !known) return known;
  std::uint64_t heartbeat = 0;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint64_t stall = 0;
  TAKE(heartbeat, table.number_or("heartbeat_ms", 1, 10'000, timeouts.heartbeat_us / 1000));
  TAKE(low, table.number_or("election_ms_min", 2, 100'000, timeouts.election_us_min / 1000));
  // Three tenths more, rounded up: as the default's.
  TAKE(high, table.number_or("election_ms_max", 2, 100'000, low + (3 * low + 9) / 10));
  TAKE(stall, table.number_or("stall_ms", 10, 600'000, timeouts.stall_us / 1000));
  if (low < 2 * heartbeat) {
    return fail(fmt::format("{}: 'election_ms_min' is {} and must be at least twice 'heartbeat_ms', which is {}", table.place(),
                            low, heartbeat));
  }
  if (high <= low) {
    return fail(
        fmt::format("{}: 'election_ms_max' is {} and must be above 'election_ms_min', which is {}", table.place(), high, low));
  }
  timeouts.heartbeat_us = heartbeat * 1000;
  timeouts.ask_us = timeouts.heartbeat_us * 12 / 5;  // two heartbeats are missing
  timeouts.election_us_min = low * 1000;
  timeouts.election_us_max = high * 1000;
  timeouts.stall_us = stall * 1000;
  // A leader hears from its followers once a heartbeat: by default it waits a third longer than any of them would.
  timeouts.step_down_us = std::max(timeouts.step_down_us, timeouts.election_us_max * 4 / 3);
  return {};
}

Result<> parse_retention(const Table& table, RetentionOptions& retention) {
  if (const auto known = table.only({"bytes", "age"}); !known) return known;
  const auto take = [&](std::string_view key, auto parse, std::optional<std::uint64_t>& value) -> Result<> {
    if (!table.has(key)) return {};
    std::string text;
    TAKE(text, table.text(key));
    const auto parsed = parse(text);
    if (!parsed) return fail(fmt::format("{}: '{}': {}", table.place(), key, parsed.error().text));
    value = *parsed;
    return {};
  };
  if (const auto taken = take("bytes", &parse_byte_count, retention.bytes); !taken) return taken;
  return take("age", &parse_age_s, retention.age_s);
}

template <class Item>
Result<std::vector<Item>> parse_list(const toml::table& root, const std::string& name, std::string_view key,
                                     Result<Item> (*parse)(const Table&)) {
  std::vector<Item> items;
  const toml::array* list = root[key].as_array();
  if (list == nullptr || list->empty()) return fail(fmt::format("{}: no [[{}]]", name, key));
  for (std::size_t i = 0; i < list->size(); ++i) {
    const toml::table* table = (*list)[i].as_table();
    if (table == nullptr) return fail(fmt::format("{}: {} is not a list of tables", name, key));
    auto item = parse(Table(*table, fmt::format("{}: {} {}", name, key, i + 1)));
    if (!item) return std::unexpected(item.error());
    items.push_back(*std::move(item));
  }
  return items;
}

// Each group takes the next UDP port: what is written may not lie among the ports of another.
Result<> check_groups(const Config& config, const std::string& name) {
  if (config.groups == 1) return {};
  std::vector<std::pair<std::string, dataplane::Endpoint>> first_ports;
  for (const MemberConfig& member : config.members) {
    if (member.id == config.replica) continue;
    first_ports.emplace_back(fmt::format("member {}", member.id.value()), member.address);
  }
  for (const PortConfig& port : config.ports) {
    if (port.kind != PortConfig::Kind::pair) first_ports.emplace_back(fmt::format("port '{}'", port.name), port.address);
  }
  for (std::size_t i = 0; i < first_ports.size(); ++i) {
    const auto& [what, at] = first_ports[i];
    if (at.port > UINT16_MAX - (config.groups - 1)) {
      return fail(fmt::format("{}: {}: {} groups take the ports from {} on, and there are none behind 65535", name, what,
                              config.groups, at.port));
    }
    for (std::size_t j = 0; j < i; ++j) {
      const auto& [other, other_at] = first_ports[j];
      const int distance = std::abs(static_cast<int>(at.port) - other_at.port);
      if (at.address != other_at.address || distance >= config.groups) continue;
      return fail(fmt::format("{}: {} and {} are {} ports apart, and {} groups need as many", name, other, what, distance,
                              config.groups));
    }
  }
  return {};
}

// What only the whole file shows.
Result<> check_whole(const Config& config, const std::string& name) {
  if (config.members.size() > members_max) return fail(fmt::format("{}: more than {} members", name, members_max));
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (config.ports[j].name != config.ports[i].name) continue;
      return fail(fmt::format("{}: port '{}' is named twice", name, config.ports[i].name));
    }
  }
  const auto is_self = [&](const MemberConfig& member) { return member.id == config.replica; };
  if (std::ranges::none_of(config.members, is_self)) {
    return fail(fmt::format("{}: replica {} is not among the members", name, config.replica.value()));
  }
  for (std::size_t i = 0; i < config.members.size(); ++i) {
    const MemberConfig& member = config.members[i];
    for (std::size_t j = 0; j < i; ++j) {
      if (config.members[j].id == member.id) return fail(fmt::format("{}: member {} is named twice", name, member.id.value()));
    }
    if (is_self(member)) continue;
    if (member.port.empty()) return fail(fmt::format("{}: member {}: 'port' is missing", name, member.id.value()));
    const bool known = std::ranges::any_of(config.ports, [&](const PortConfig& port) { return port.name == member.port; });
    if (!known) return fail(fmt::format("{}: member {}: there is no port named '{}'", name, member.id.value(), member.port));
    if (member.address.port == 0) return fail(fmt::format("{}: member {}: 'address' is missing", name, member.id.value()));
  }
  return check_groups(config, name);
}

// `core` for one group, `cores` for any number.
Result<std::vector<unsigned>> parse_cores(const toml::table& root, const Table& table, const std::string& name,
                                          std::size_t groups) {
  std::vector<unsigned> cores;
  if (table.has("core")) {
    if (groups > 1 || table.has("cores")) return fail(fmt::format("{}: 'core' is of one group: write cores = [...]", name));
    unsigned core = 0;
    TAKE(core, table.number("core", 0, core_max));
    cores.push_back(core);
  }
  if (!table.has("cores")) return cores;
  const toml::array* list = root["cores"].as_array();
  if (list == nullptr || list->size() != groups) {
    return fail(fmt::format("{}: 'cores' is not a list of {} numbers: name one core for each group", name, groups));
  }
  for (const toml::node& item : *list) {
    const auto core = item.value<std::int64_t>();
    if (!core || *core < 0 || *core > static_cast<std::int64_t>(core_max)) {
      return fail(fmt::format("{}: 'cores' holds what is no number from 0 to {}", name, core_max));
    }
    cores.push_back(static_cast<unsigned>(*core));
  }
  return cores;
}

Result<Config> parse_root(const toml::table& root, const std::string& name) {
  const Table table(root, name);
  const auto known = table.only(
      {"cluster", "replica", "groups", "data", "memory_mb", "idle", "core", "cores", "timeouts", "retention", "member", "port"});
  if (!known) return std::unexpected(known.error());
  Config config;
  std::uint64_t replica = 0;
  std::string idle;
  TAKE(config.cluster, table.text("cluster"));
  TAKE(replica, table.number("replica", 1, 65535));
  config.replica = ReplicaId(static_cast<std::uint16_t>(replica));
  TAKE(config.data, table.text("data"));
  TAKE(config.memory_mb, table.number_or("memory_mb", 64, 1U << 20, config.memory_mb));
  TAKE(idle, table.text_or("idle", to_string(config.idle)));
  const auto policy = dataplane::parse_idle_policy(idle);
  if (!policy) return fail(fmt::format("{}: 'idle': {}", name, policy.error().text));
  config.idle = *policy;
  TAKE(config.groups, table.number_or("groups", 1, groups_max, 1));
  TAKE(config.cores, parse_cores(root, table, name, config.groups));
  if (table.has("timeouts")) {
    const toml::table* timeouts = root["timeouts"].as_table();
    if (timeouts == nullptr) return fail(fmt::format("{}: 'timeouts' is not a table: write [timeouts]", name));
    if (auto parsed = parse_timeouts(Table(*timeouts, name + ": timeouts"), config.timeouts); !parsed) {
      return std::unexpected(parsed.error());
    }
  }
  if (table.has("retention")) {
    const toml::table* retention = root["retention"].as_table();
    if (retention == nullptr) return fail(fmt::format("{}: 'retention' is not a table: write [retention]", name));
    if (auto parsed = parse_retention(Table(*retention, name + ": retention"), config.retention); !parsed) {
      return std::unexpected(parsed.error());
    }
  }
  TAKE(config.members, parse_list<MemberConfig>(root, name, "member", &parse_member));
  TAKE(config.ports, parse_list<PortConfig>(root, name, "port", &parse_port));
  if (const auto checked = check_whole(config, name); !checked) return std::unexpected(checked.error());
  return config;
}

#undef TAKE

// Without control characters: TOML's escapes stand for them.
std::string in_one_line(std::string_view text) {
  std::string result;
  for (const char letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned>(letter));
    } else {
      result += letter;
    }
  }
  return result;
}

// A message may quote the file, and is one line whatever stands there.
Result<Config> with_error_in_one_line(Result<Config> config) {
  if (!config) return fail(in_one_line(config.error().text));
  return config;
}

// A basic string of TOML.
std::string quoted(std::string_view text) {
  std::string escaped;
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') escaped += '\\';
    escaped += letter;
  }
  return "\"" + in_one_line(escaped) + "\"";
}

}  // namespace

std::vector<ReplicaId> Config::member_ids() const {
  std::vector<ReplicaId> ids;
  ids.reserve(members.size());
  for (const MemberConfig& member : members) ids.push_back(member.id);
  return ids;
}

std::string group_directory(const std::string& data, GroupId group, std::size_t groups) {
  return groups == 1 ? data : fmt::format("{}/group-{}", data, group.value());
}

Config Config::of_group(GroupId number) const {
  Config config = *this;
  config.group = number;
  const auto offset = static_cast<std::uint16_t>(number.value());
  if (data != data_memory) config.data = group_directory(data, number, groups);
  if (!cores.empty()) config.cores = {cores[offset]};
  for (MemberConfig& member : config.members) member.address.port = static_cast<std::uint16_t>(member.address.port + offset);
  for (PortConfig& port : config.ports) {
    port.address.port = static_cast<std::uint16_t>(port.address.port + offset);
    if (port.kind == PortConfig::Kind::pair && offset > 0) port.device += fmt::format(".{}", offset);
  }
  return config;
}

Result<Config> parse_config(std::string_view text, const std::string& name) {
  try {
    return with_error_in_one_line(parse_root(toml::parse(text, name), name));
  } catch (const toml::parse_error& error) {
    return fail(in_one_line(fmt::format("{}:{}: {}", name, error.source().begin.line, error.description())));
  }
}

Result<Config> load_config(const std::string& path) {
  try {
    return with_error_in_one_line(parse_root(toml::parse_file(path), path));
  } catch (const toml::parse_error& error) {
    if (error.source().begin.line == 0) return fail(fmt::format("cannot read {}: name a configuration file", path));
    return fail(in_one_line(fmt::format("{}:{}: {}", path, error.source().begin.line, error.description())));
  }
}

std::string to_toml(const Config& config) {
  std::string text = fmt::format("cluster = {}\nreplica = {}\ndata = {}\nmemory_mb = {}\nidle = \"{}\"\n", quoted(config.cluster),
                                 config.replica.value(), quoted(config.data), config.memory_mb, to_string(config.idle));
  if (config.groups > 1) text += fmt::format("groups = {}\n", config.groups);
  if (!config.cores.empty()) text += fmt::format("cores = [{}]\n", fmt::join(config.cores, ", "));
  text += fmt::format("\n[timeouts]\nheartbeat_ms = {}\nelection_ms_min = {}\nelection_ms_max = {}\nstall_ms = {}\n",
                      config.timeouts.heartbeat_us / 1000, config.timeouts.election_us_min / 1000,
                      config.timeouts.election_us_max / 1000, config.timeouts.stall_us / 1000);
  if (config.retention.is_on()) text += "\n[retention]\n";
  if (config.retention.bytes) text += fmt::format("bytes = \"{}\"\n", byte_count_text(*config.retention.bytes));
  if (config.retention.age_s) text += fmt::format("age = \"{}\"\n", age_text(*config.retention.age_s));
  for (const MemberConfig& member : config.members) {
    text += fmt::format("\n[[member]]\nid = {}\n", member.id.value());
    if (member.id == config.replica) continue;
    text += fmt::format("address = \"{}\"\nport = {}\n", dataplane::to_string(member.address), quoted(member.port));
  }
  for (const PortConfig& port : config.ports) {
    text += fmt::format("\n[[port]]\nname = {}\naddress = \"{}\"\n", quoted(port.name), dataplane::to_string(port.address));
    if (port.mtu != 0) text += fmt::format("mtu = {}\n", port.mtu);
    switch (port.kind) {
      case PortConfig::Kind::udp: text += "kind = \"udp\"\n"; break;
      case PortConfig::Kind::pair:
        text += fmt::format("kind = \"pair\"\nsocket = {}\nserver = {}\n", quoted(port.device), port.server);
        break;
      case PortConfig::Kind::device: text += fmt::format("kind = \"dpdk\"\ndevice = {}\n", quoted(port.device)); break;
    }
  }
  return text;
}

}  // namespace synod::replica
