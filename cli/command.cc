#include "cli/command.h"

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "client/address.h"

namespace synod::cli {

int failed(const std::string& text) {
  std::fprintf(stderr, "synod: %s\n", text.c_str());
  return exit_failed;
}

int usage(const std::string& text) {
  std::fprintf(stderr, "synod: %s (see --help)\n", text.c_str());
  return exit_usage;
}

void ClusterOptions::add_to(CLI::App& command) {
  const auto check = [](const std::string& text) {
    const auto peers = client::parse_cluster(text);
    return peers ? std::string() : peers.error().text;
  };
  command.add_option("--cluster", addresses, "HOST:PORT,... of replicas 1, 2, ... in this order, or ID=HOST:PORT,...")
      ->required()
      ->check(check);
  command.add_option("--cluster-name", name, "the cluster's name, as given to format")->capture_default_str();
  command.add_option("--group", group, "of a cluster with several groups: which log")
      ->check(CLI::Range(std::uint32_t{0}, static_cast<std::uint32_t>(groups_max - 1)))
      ->capture_default_str();
  // Some 30 years: beyond, the number of microseconds would mean nothing.
  command.add_option("--deadline", deadline_seconds, "seconds after which an operation is given up")
      ->check(CLI::Range(0.001, 1e9))
      ->capture_default_str();
}

Result<std::unique_ptr<client::Client>> ClusterOptions::connect() const {
  client::ClientOptions options;
  options.addresses = addresses;
  options.cluster = name;
  options.group = GroupId(group);
  options.timeout_us = timeout_us();
  options.ack = ack;
  return client::Client::connect(options);
}

std::string check_lsn(const std::string& text) {
  std::uint64_t lsn = 0;
  const char* const end = text.data() + text.size();
  const auto [read_to, error] = std::from_chars(text.data(), end, lsn);
  return !text.empty() && error == std::errc{} && read_to == end ? "" : "'" + text + "' is not an LSN: write a number from 0";
}

void add_format_option(CLI::App& command, std::string& format) {
  command.add_option("--format", format, "table or json")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
}

int print_lsn(std::string_view key, Lsn lsn, std::string_view format) {
  const bool is_json = format == "json";
  std::puts(is_json ? nlohmann::json{{key, lsn.value()}}.dump().c_str() : std::to_string(lsn.value()).c_str());
  return finish_output(exit_done);
}

int finish_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  return failed(std::string("cannot write the output: ") + std::strerror(errno));
}

}  // namespace synod::cli
