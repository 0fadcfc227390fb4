// synod status: what every replica says about itself.
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "wire/limits.h"

namespace synod::cli {

namespace {

nlohmann::json to_json(std::uint32_t group, const client::ReplicaStatus& status) {
  nlohmann::json row = {{"group", group},
                        {"replica", status.peer.id.value()},
                        {"address", dataplane::to_string(status.peer.route.endpoint)},
                        {"reachable", status.answer.has_value()}};
  if (!status.answer) return row;
  const wire::StatusAnswer& answer = *status.answer;
  row["role"] = wire::name(answer.role);
  row["leader"] = answer.leader.value();
  row["ballot"] = {{"round", answer.promised.round()}, {"replica", answer.promised.replica().value()}};
  row["commit"] = answer.commit.value();
  row["durable"] = answer.durable.value();
  row["tail_lsn"] = answer.tail.value();
  row["journal_bytes"] = answer.journal_bytes;
  row["journal_bytes_capacity"] = answer.journal_bytes_capacity;
  row["sessions"] = answer.sessions;
  row["appends"] = answer.appends;
  row["elections"] = answer.elections;
  row["packets_received"] = answer.packets_received;
  row["packets_sent"] = answer.packets_sent;
  row["packets_dropped"] = answer.packets_dropped;
  row["uptime_us"] = answer.uptime_us;
  row["members"] = answer.members;
  row["votes"] = answer.votes != 0;
  row["stable"] = answer.stable != 0;
  row["trim_lsn"] = answer.trim.value();
  row["segments_total"] = answer.segments_total;
  row["segments_free"] = answer.segments_free;
  row["segments_ready"] = answer.segments_ready;
  row["preparing_failed"] = answer.preparing_failed != 0;
  row["scrub_blocks_checked"] = answer.scrub_blocks_checked;
  row["scrub_blocks_bad"] = answer.scrub_blocks_bad;
  row["records_repaired"] = answer.records_repaired;
  row["doubt"] = wire::name(answer.doubt);
  row["confirmed"] = answer.confirmed != 0;
  row["space_low"] = answer.space_low != 0;
  row["disk_stalled"] = answer.stalled != 0;
  row["journal_failed_errno"] = answer.journal_failed_errno;
  return row;
}

std::string ballot_text(Ballot ballot) {
  return ballot.is_none() ? "-" : fmt::format("{}.{}", ballot.round(), ballot.replica().value());
}

std::string journal_text(const wire::StatusAnswer& answer) {
  const double mib = static_cast<double>(answer.journal_bytes) / (1 << 20);
  if (answer.journal_bytes_capacity == 0) return fmt::format("{:.1f} MiB", mib);
  const double share = static_cast<double>(answer.journal_bytes) / static_cast<double>(answer.journal_bytes_capacity);
  return fmt::format("{:.1f} MiB {:.0f}%", mib, 100 * share);
}

std::string text_of_errno(std::uint32_t error) {
  return std::strerror(static_cast<int>(error));
}

// What is not as on any other day.
std::string notes_on(const wire::StatusAnswer& answer) {
  std::vector<std::string> notes;
  if (answer.stable == 0) notes.emplace_back("not durable");
  if (answer.votes == 0) {
    notes.emplace_back("does not vote yet");
  } else if (answer.confirmed == 0) {
    notes.emplace_back("not confirmed by its peers yet");
  }
  if (answer.doubt != wire::DoubtKind::none) notes.push_back(fmt::format("in doubt ({})", wire::name(answer.doubt)));
  if (answer.space_low != 0) notes.emplace_back("refuses appends: no space, trim the log");
  if (answer.preparing_failed != 0) notes.emplace_back("cannot make more segments ready: see its log");
  if (answer.stalled != 0) notes.emplace_back("disk stalled: does not lead");
  if (answer.journal_failed_errno != 0)
    notes.push_back(fmt::format("journal failed ({})", text_of_errno(answer.journal_failed_errno)));
  return fmt::format("{}", fmt::join(notes, ", "));
}

// One line each, below the replica's row, if there is anything to say.
void print_details(const wire::StatusAnswer& answer) {
  const auto print = [](const char* what, const std::string& text) { fmt::print("{:<8}{:<22}{}\n", "", what, text); };
  if (answer.trim > Lsn{}) print("trim", fmt::format("entries below LSN {} are gone", answer.trim.value()));
  if (answer.segments_total > 0) {
    const bool all_ready = answer.segments_ready == answer.segments_total;
    print("segments", fmt::format("{} of {} free{}", answer.segments_free, answer.segments_total,
                                  all_ready ? "" : fmt::format(", {} ready to be written", answer.segments_ready)));
  }
  if (answer.scrub_blocks_checked > 0) {
    print("scrub", fmt::format("{} blocks checked, {} bad", answer.scrub_blocks_checked, answer.scrub_blocks_bad));
  }
  if (answer.records_repaired > 0) print("repaired", fmt::format("{} records from peers", answer.records_repaired));
}

void print_table(const std::vector<client::ReplicaStatus>& replicas) {
  constexpr const char* row = "{:<8}{:<22}{:<12}{:<8}{:<10}{:>12}{:>12}{:>14}{:>18}{:>10}{:>10}  {}\n";
  fmt::print(row, "replica", "address", "role", "leader", "ballot", "commit", "durable", "tail-lsn", "journal", "sessions",
             "uptime", "notes");
  for (const client::ReplicaStatus& status : replicas) {
    const std::string address = dataplane::to_string(status.peer.route.endpoint);
    if (!status.answer) {
      fmt::print("{:<8}{:<22}unreachable\n", status.peer.id.value(), address);
      continue;
    }
    const wire::StatusAnswer& answer = *status.answer;
    const std::string leader = answer.leader == ReplicaId{} ? "-" : fmt::format("{}", answer.leader.value());
    fmt::print(row, status.peer.id.value(), address, wire::name(answer.role), leader, ballot_text(answer.promised),
               answer.commit.value(), answer.durable.value(), answer.tail.value(), journal_text(answer), answer.sessions,
               fmt::format("{:.1f}s", static_cast<double>(answer.uptime_us) / 1e6), notes_on(answer));
    print_details(answer);
  }
}

struct Status {
  ClusterOptions cluster{.addresses = {}, .name = "synod", .group = 0, .deadline_seconds = 1};
  std::string format = "table";
  CLI::Option* group_option = nullptr;
  bool is_one_group = false;

  using Replicas = std::vector<client::ReplicaStatus>;

  [[nodiscard]] Result<Replicas> ask(std::uint32_t group) const {
    ClusterOptions asked = cluster;
    asked.group = group;
    auto client = asked.connect();
    if (!client) return std::unexpected(client.error());
    return (*client)->status(asked.timeout_us());
  }

  // Every group, as many as a replica of the first one says that there are; or the one that was asked for.
  [[nodiscard]] Result<std::map<std::uint32_t, Replicas>> ask_all() const {
    std::map<std::uint32_t, Replicas> groups;
    std::uint32_t end = cluster.group + 1;
    for (std::uint32_t group = cluster.group; group < end; ++group) {
      auto replicas = ask(group);
      if (!replicas) return std::unexpected(replicas.error());
      for (const client::ReplicaStatus& status : *replicas) {
        if (!status.answer || is_one_group) continue;
        end = std::max<std::uint32_t>(end, std::min<std::uint32_t>(status.answer->groups, groups_max));
      }
      groups[group] = *std::move(replicas);
    }
    return groups;
  }

  [[nodiscard]] int run() {
    is_one_group = group_option->count() > 0;
    const auto groups = ask_all();
    if (!groups) return failed(groups.error().text);
    if (format == "json") {
      nlohmann::json rows = nlohmann::json::array();
      for (const auto& [group, replicas] : *groups) {
        for (const client::ReplicaStatus& status : replicas) rows.push_back(to_json(group, status));
      }
      fmt::print("{}\n", nlohmann::json{{"cluster", cluster.name}, {"replicas", rows}}.dump(2));
    } else {
      for (const auto& [group, replicas] : *groups) {
        if (groups->size() > 1) fmt::print("{}group {}\n", group == 0 ? "" : "\n", group);
        print_table(replicas);
      }
    }
    const bool any = std::ranges::any_of(*groups, [](const auto& group) {
      return std::ranges::any_of(group.second, [](const auto& status) { return status.answer.has_value(); });
    });
    if (const int code = finish_output(exit_done); code != exit_done || any) return code;
    return failed("no replica answered: check the addresses and the cluster's name (--cluster-name)");
  }
};

}  // namespace

void add_status(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("status", "show every replica's role and watermarks");
  static Status options;  // lives as long as the application that refers to it
  options.cluster.add_to(*command);
  options.group_option = command->get_option("--group");
  add_format_option(*command, options.format);
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
