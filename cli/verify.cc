// synod verify: checks a journal at rest, all of it.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "replica/audit.h"
#include "storage/journal_image.h"

namespace synod::cli {

namespace {

nlohmann::json to_json(const replica::AuditReport& report, double seconds) {
  nlohmann::json findings = nlohmann::json::array();
  for (const auto& finding : report.findings) {
    findings.push_back({{"severity", finding.is_error ? "error" : "warning"}, {"text", finding.text}});
  }
  return {{"verdict", report.is_whole() ? "whole" : "damaged"},
          {"blocks", report.blocks},
          {"records", report.records},
          {"bytes", report.bytes},
          {"seconds", seconds},
          {"index_pages", report.pages},
          {"index_slots", report.slots},
          {"trim", report.trim.value()},
          {"commit", report.commit.value()},
          {"checkpoint", report.has_checkpoint},
          {"errors", report.errors},
          {"warnings", report.warnings},
          {"findings", findings}};
}

void print_table(const replica::AuditReport& report, double seconds) {
  for (const auto& finding : report.findings) fmt::print("{}: {}\n", finding.is_error ? "error" : "warning", finding.text);
  const std::uint64_t hidden = report.errors + report.warnings - report.findings.size();
  if (hidden > 0) fmt::print("... and {} more\n", hidden);
  const double mebibytes = static_cast<double>(report.bytes) / (1 << 20);
  fmt::print(
      "{} blocks, {} records, {:.1f} MiB in {:.2f} s ({:.0f} MiB/s); {} index pages, {} slots; kept from slot {}, committed up "
      "to {}; {}\n",
      report.blocks, report.records, mebibytes, seconds, mebibytes / seconds, report.pages, report.slots, report.trim.value(),
      report.commit.value(), report.has_checkpoint ? "with a checkpoint" : "without a checkpoint");
  if (report.is_whole()) {
    fmt::print("whole{}\n",
               report.warnings == 0 ? "" : fmt::format(" ({} warnings: nothing that is needed lies there)", report.warnings));
  } else {
    fmt::print("damaged ({} errors, {} warnings)\n", report.errors, report.warnings);
  }
}

struct Verify {
  std::string data;
  std::string format = "table";
  bool live = false;

  [[nodiscard]] int run() const {
    const auto image = storage::JournalImage::open(data, live);
    if (!image) return failed(image.error().text);
    storage::ImageDevice stream(*image);
    storage::ImageDevice random(*image);
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    const auto begin = std::chrono::steady_clock::now();
    auto shown = begin;
    const auto report = replica::audit(storage::DeviceRef(stream), storage::DeviceRef(random), [&](std::uint64_t offset) {
      const auto now = std::chrono::steady_clock::now();
      if (!terminal || now - shown < std::chrono::milliseconds(200)) return;
      shown = now;
      fmt::print(stderr, "\rchecking at {} of {} MiB\x1b[K", offset >> 20, image->size_bytes() >> 20);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (terminal) fmt::print(stderr, "\r\x1b[K");
    if (!report) return failed(report.error().text);
    if (format == "json") {
      fmt::print("{}\n", to_json(*report, seconds.count()).dump());
    } else {
      print_table(*report, seconds.count());
    }
    return finish_output(report->is_whole() ? exit_done : exit_failed);
  }
};

}  // namespace

void add_verify(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("verify", "check a data directory (or a copy of one): exit 0 whole, 1 damaged");
  static Verify options;  // lives as long as the application that refers to it
  command->add_option("--data", options.data, "the data directory, or a raw block device")->required();
  command->add_flag("--live", options.live, "read it although a replica runs there: what it writes meanwhile may look damaged");
  add_format_option(*command, options.format);
  command->final_callback([&body] { body = [] { return options.run(); }; });
}

}  // namespace synod::cli
