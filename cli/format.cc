// synod format: the only command that creates a data directory.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/command.h"
#include "client/address.h"
#include "replica/config.h"
#include "storage/format.h"

namespace synod::cli {

namespace {

std::string uuid_text(const Uuid& uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned>(uuid.bytes[i]));
  }
  return text;
}

// "3", or the addresses of three.
Result<std::uint16_t> members_of(const std::string& text) {
  std::size_t members = 0;
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos) {
    members = text.size() > 3 ? 0 : std::stoul(text);
  } else {
    const auto peers = client::parse_cluster(text);
    if (!peers) return std::unexpected(peers.error());
    members = peers->size();
  }
  if (members == 0 || members > members_max) {
    return fail(fmt::format("--replicas {}: a cluster has 1 to {} replicas", text, members_max));
  }
  return static_cast<std::uint16_t>(members);
}

struct Format {
  storage::FormatOptions format;
  std::uint16_t replica = 0;
  std::string replicas = "3";
  std::uint16_t groups = 1;
  std::uint64_t capacity_bytes = 1ULL << 30;
  CLI::Option* capacity = nullptr;

  int run() {
    const auto members = members_of(replicas);
    if (!members) return usage(members.error().text);
    if (replica > *members)
      return usage(fmt::format("--replica {}: the ids of {} replicas are 1 to {}", replica, *members, *members));
    format.members = *members;
    format.replica = ReplicaId(replica);
    std::error_code ignored;
    if (groups > 1 && std::filesystem::is_block_file(format.directory, ignored)) {
      return usage("--groups: a block device holds one journal: name a directory");
    }
    const std::string data = format.directory;
    for (std::uint32_t group = 0; group < groups; ++group) {
      format.group = GroupId(group);
      format.directory = replica::group_directory(data, format.group, groups);
      if (const int code = run_one(); code != exit_done) return code;
    }
    return finish_output(exit_done);
  }

  // Prints the uuid of the journal that it makes.
  int run_one() {
    std::error_code ignored;
    const bool whole = capacity->count() == 0 && std::filesystem::is_block_file(format.directory, ignored);
    format.capacity_bytes = whole ? 0 : capacity_bytes;
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    const auto identity = storage::format(format, [&](std::uint64_t done, std::uint64_t total) {
      if (terminal && total > 0) fmt::print(stderr, "\rwriting {} of {} MiB\x1b[K", done >> 20, total >> 20);
    });
    if (terminal) fmt::print(stderr, "\r\x1b[K");
    if (!identity) return failed(identity.error().text);
    fmt::print("{}\n", uuid_text(identity->disk));
    return exit_done;
  }
};

}  // namespace

void add_format(CLI::App& app, Body& body) {
  CLI::App* const command =
      app.add_subcommand("format", "create a data directory, or take a raw block device; prints the disk's uuid");
  static Format options;  // lives as long as the application that refers to it
  command->add_option("--data", options.format.directory, "the directory to create, or a block device, e.g. /dev/nvme0n1")
      ->required();
  command->add_option("--cluster", options.format.cluster, "the cluster's name")->required();
  command->add_option("--replica", options.replica, "this replica's id")->required()->check(CLI::Range(1, 65535));
  command->add_option("--replicas", options.replicas, "number of replicas, or their addresses")->required();
  command->add_option("--groups", options.groups, "logs of this replica; a journal for each, in group-0, group-1, ...")
      ->check(CLI::Range(std::size_t{1}, groups_max))
      ->capture_default_str();
  options.capacity =
      command->add_option("--capacity", options.capacity_bytes, "size of the journal, e.g. 1GiB (a device: all of it)")
          ->transform(CLI::AsSizeValue(false))
          ->capture_default_str();
  command->add_flag("--prepare-all", options.format.prepare_all,
                    "write all of the journal now, instead of its end while the replica runs: for measuring");
  command->add_flag("--force", options.format.force, "overwrite a block device that is not blank");
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
