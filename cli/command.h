// What the commands of `synod` share. One file per command; each adds its subcommand to the application and leaves its body
// behind as a function. To add a command: write cli/NAME.cc, declare add_NAME here, name it in the table of main.cc.
//
// Exit codes: 0 done, 1 the operation failed (one line on stderr), 2 usage.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "client/client.h"

namespace synod::cli {

inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;

// What main runs once the command line is understood. The chosen command puts itself here.
using Body = std::function<int()>;

void add_append(CLI::App& app, Body& body);
void add_bench(CLI::App& app, Body& body);
void add_bench_neighbours(CLI::App& bench, Body& body);  // below `bench`
void add_dev(CLI::App& app, Body& body);
void add_format(CLI::App& app, Body& body);
void add_inspect(CLI::App& app, Body& body);
void add_read(CLI::App& app, Body& body);
void add_start(CLI::App& app, Body& body);
void add_status(CLI::App& app, Body& body);
void add_tail_lsn(CLI::App& app, Body& body);
void add_trim(CLI::App& app, Body& body);
void add_verify(CLI::App& app, Body& body);

// Prints "synod: TEXT" to stderr and returns exit_failed.
int failed(const std::string& text);
// The same for a usage error found after parsing.
int usage(const std::string& text);

// The options of every command that talks to a cluster.
struct ClusterOptions {
  std::string addresses;
  std::string name = "synod";
  std::uint32_t group = 0;
  double deadline_seconds = 10;
  wire::AckLevel ack = wire::AckLevel::quorum;  // of appends

  void add_to(CLI::App& command);
  [[nodiscard]] std::uint64_t timeout_us() const { return static_cast<std::uint64_t>(deadline_seconds * 1e6); }
  [[nodiscard]] Result<std::unique_ptr<client::Client>> connect() const;
};

// For CLI::Option::check: what is wrong with an LSN, or nothing. (The parser alone would wrap -1 around.)
std::string check_lsn(const std::string& text);

// --format table|json
void add_format_option(CLI::App& command, std::string& format);

// Prints the LSN that a command was run for: alone, or as {"KEY": LSN}.
int print_lsn(std::string_view key, Lsn lsn, std::string_view format);

// Flushes stdout; a full disk or a closed pipe is a failure like any other.
int finish_output(int code);

}  // namespace synod::cli
