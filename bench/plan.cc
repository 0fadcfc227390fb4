#include "bench/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>

namespace synod::bench {

namespace {

template <class T>
bool set_number(T& to, const std::string& value) {
  const char* const end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, to);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

bool set_flag(bool& to, const std::string& value) {
  to = value == "true";
  return value == "true" || value == "false";
}

bool set_text(std::string& to, const std::string& value) {
  to = value;
  return !value.empty();
}

template <class T>
bool set_name(T& to, const std::string& value, std::initializer_list<T> all) {
  const auto* const found = std::ranges::find_if(all, [&](T each) { return value == name(each); });
  if (found != all.end()) to = *found;
  return found != all.end();
}

// The keys of a workload file: the long options' names. `wanted`: for whoever wrote something else.
struct Key {
  const char* name;
  const char* wanted;
  bool (*set)(Options&, const std::string&);
};

constexpr std::array keys{
    Key{"bench", "latency or throughput",
        [](Options& o, const std::string& v) { return set_name(o.measure, v, {Measure::latency, Measure::throughput}); }},
    Key{"where", "box or processes",
        [](Options& o, const std::string& v) { return set_name(o.where, v, {Where::box, Where::processes}); }},
    Key{"port", "ring, pair, af_packet, af_xdp or udp", [](Options& o, const std::string& v) { return set_text(o.port, v); }},
    Key{"data", "a directory or memory", [](Options& o, const std::string& v) { return set_text(o.data, v); }},
    Key{"ack", "a level", [](Options& o, const std::string& v) { return set_text(o.ack, v); }},
    Key{"replicas", "a number", [](Options& o, const std::string& v) { return set_number(o.replicas, v); }},
    Key{"payload", "a number of bytes", [](Options& o, const std::string& v) { return set_number(o.payload_bytes, v); }},
    Key{"wal", "the path of a PostgreSQL WAL segment", [](Options& o, const std::string& v) { return set_text(o.wal, v); }},
    Key{"clients", "a number", [](Options& o, const std::string& v) { return set_number(o.clients, v); }},
    Key{"in-flight", "a number", [](Options& o, const std::string& v) { return set_number(o.in_flight, v); }},
    Key{"entries-per-packet", "a number", [](Options& o, const std::string& v) { return set_number(o.entries_per_packet, v); }},
    Key{"rate", "a number a second", [](Options& o, const std::string& v) { return set_number(o.rate, v); }},
    Key{"poisson", "true or false", [](Options& o, const std::string& v) { return set_flag(o.poisson, v); }},
    Key{"ladder", "true or false", [](Options& o, const std::string& v) { return set_flag(o.ladder, v); }},
    Key{"capacity", "a number of bytes", [](Options& o, const std::string& v) { return set_number(o.capacity_bytes, v); }},
    Key{"seconds", "a number", [](Options& o, const std::string& v) { return set_number(o.seconds, v); }},
    Key{"verify", "true or false", [](Options& o, const std::string& v) { return set_flag(o.verify, v); }},
};

const Key* find_key(const std::string& name) {
  const auto* const found = std::ranges::find(keys, name, &Key::name);
  return found == keys.end() ? nullptr : found;
}

Error unknown_key(const std::string& key) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const Key& known : keys) names.emplace_back(known.name);
  return {fmt::format("there is no key '{}'; there are: {}", key, fmt::join(names, ", "))};
}

Result<> set(Options& options, const std::string& key, const std::string& value) {
  const Key* const known = find_key(key);
  if (known == nullptr) return std::unexpected(unknown_key(key));
  if (known->set(options, value)) return {};
  return fail(fmt::format("{} = {} is not possible: it takes {}", key, value, known->wanted));
}

// A number, a text or a truth value, as it is written.
std::optional<std::string> text_of(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return text;
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (const auto number = node.value_exact<std::int64_t>()) return fmt::format("{}", *number);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  return std::nullopt;
}

Result<Sweep> sweep_of(const std::string& key, const toml::node& node) {
  Sweep sweep{.key = key, .values = {}};
  const toml::array* const list = node.as_array();
  const std::size_t count = list == nullptr ? 1 : list->size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = text_of(list == nullptr ? node : (*list)[i]);
    if (!value) return fail(fmt::format("the value of '{}' is neither a number, a text, true, false nor a list of these", key));
    sweep.values.push_back(*value);
  }
  if (count == 0) return fail(fmt::format("the list of '{}' is empty", key));
  return sweep;
}

Result<WorkloadFile> parse_table(const toml::table& table) {
  WorkloadFile file;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (name == "title") {
      file.title = node.value_or(std::string());
      continue;
    }
    if (find_key(name) == nullptr) return std::unexpected(unknown_key(name));
    auto sweep = sweep_of(name, node);
    if (!sweep) return std::unexpected(sweep.error());
    file.sweeps.push_back(*std::move(sweep));
  }
  // toml++ sorts keys; ours have an order that suits a table.
  std::ranges::sort(file.sweeps, {}, [](const Sweep& sweep) { return find_key(sweep.key); });
  return file;
}

}  // namespace

Result<Sweep> parse_sweep(const std::string& text) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    return fail(fmt::format("--sweep {} is not possible: it takes KEY=VALUE,VALUE,...", text));
  }
  Sweep sweep{.key = text.substr(0, at), .values = {}};
  if (find_key(sweep.key) == nullptr) return std::unexpected(unknown_key(sweep.key));
  std::istringstream list(text.substr(at + 1));
  for (std::string value; std::getline(list, value, ',');) sweep.values.push_back(value);
  return sweep;
}

Result<WorkloadFile> parse_workload(std::string_view text, const std::string& name) {
  try {
    auto file = parse_table(toml::parse(text, name));
    if (!file) return fail(fmt::format("{}: {}", name, file.error().text));
    return file;
  } catch (const toml::parse_error& error) {
    return fail(fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  }
}

Result<WorkloadFile> load_workload(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return fail(fmt::format("cannot read the workload file {}", path));
  return parse_workload(text.str(), path);
}

Result<Plan> make_plan(const Options& base, const std::string& title, std::span<const Sweep> sweeps) {
  Plan plan{.title = title, .points = {}};
  std::size_t count = 1;
  for (const Sweep& sweep : sweeps) {
    count *= sweep.values.size();
    if (count > points_max) return fail(fmt::format("more than {} combinations: sweep over fewer values", points_max));
  }
  for (std::size_t point = 0; point < count; ++point) {
    Options options = base;
    std::vector<std::string> parts;
    std::size_t rest = point;
    std::size_t block = count;
    for (const Sweep& sweep : sweeps) {
      block /= sweep.values.size();
      const std::string& value = sweep.values[rest / block];
      rest %= block;
      if (auto done = set(options, sweep.key, value); !done) return std::unexpected(done.error());
      if (sweep.values.size() > 1) parts.push_back(fmt::format("{} {}", sweep.key, value));
    }
    auto completed = complete(std::move(options));
    if (!completed) return std::unexpected(completed.error());
    plan.points.push_back({.options = *std::move(completed), .name = fmt::format("{}", fmt::join(parts, ", "))});
  }
  return plan;
}

}  // namespace synod::bench
