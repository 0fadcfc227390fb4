// A report for people.
#include <fmt/format.h>

#include "bench/commit.h"
#include "bench/report.h"

namespace synod::bench {

namespace {

// 12345678 -> "12,345,678"
std::string grouped(double value) {
  const std::string digits = fmt::format("{:.0f}", value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

std::string microseconds(double value) {
  return value < 100 ? fmt::format("{:.2f}", value) : fmt::format("{:.0f}", value);
}

std::string line(const char* label, const std::string& text) {
  return fmt::format("  {:<12}{}\n", label, text);
}

std::string floor_lines(const Floors& floors) {
  std::string text;
  const auto wire = floors.wire_us();
  text += line("wire floor",
               wire ? fmt::format("{} us ({})", microseconds(*wire), floors.wire.front().method) : "not measurable from here");
  const auto device = floors.device_us();
  std::string disk = "not measurable from here";
  if (floors.diskless) {
    disk = "0 us (diskless)";
  } else if (device) {
    disk = fmt::format("{} us", microseconds(*device));
  }
  text += line("disk floor", disk);
  // The best of both measurements of each method.
  std::vector<FloorTime> best;
  for (const FloorTime& time : floors.device) {
    const auto same = std::ranges::find(best, time.method, &FloorTime::method);
    if (same == best.end())
      best.push_back(time);
    else if (time.p50_us < same->p50_us)
      *same = time;
  }
  for (const FloorTime& time : best) text += fmt::format("  {:<12}  {:>9} us  {}\n", "", microseconds(time.p50_us), time.method);
  return text;
}

std::string run_lines(const Report& report) {
  const Latency latency = latency_us(report.run.result.latency_ns);
  const double rate = report.run.appends_per_second();
  std::string text = line("appends/s", fmt::format("{}  ({:.1f} MB/s)", grouped(rate),
                                                   rate * static_cast<double>(report.options.payload_bytes) / 1e6));
  text += line("latency us", fmt::format("p50 {}   p90 {}   p99 {}   p99.9 {}   p99.99 {}   max {}", microseconds(latency.p50),
                                         microseconds(latency.p90), microseconds(latency.p99), microseconds(latency.p999),
                                         microseconds(latency.p9999), microseconds(latency.max)));
  return text;
}

std::string stage_lines(const Report& report) {
  if (report.stages.empty()) return "";
  double whole = 0;
  for (const StageTime& stage : report.stages) whole += stage.mean_us;
  std::string text = line("stages", fmt::format("{} us on average, in a load of its own", microseconds(whole)));
  for (const StageTime& stage : report.stages) {
    text +=
        line("", fmt::format("{:>8} us  {:>3.0f} %  {}", microseconds(stage.mean_us), 100 * stage.mean_us / whole, stage.name));
  }
  return text;
}

std::string ladder_lines(const Report& report) {
  if (!report.peak) return "";
  std::string text = line("peak", fmt::format("{} appends/s in an open loop", grouped(*report.peak)));
  for (const Rung& rung : report.ladder) {
    const Latency latency = latency_us(rung.run.result.latency_ns);
    text += line(
        "", fmt::format("{:>3.0f} %  {:>11}/s   p50 {:>7}   p99 {:>7}   p99.99 {:>7}   max {:>7}{}", rung.share * 100,
                        grouped(rung.run.rate), microseconds(latency.p50), microseconds(latency.p99), microseconds(latency.p9999),
                        microseconds(latency.max), rung.run.keeps_up() ? "" : "   (did not keep up)"));
  }
  return text;
}

std::string read_back_text(const Report& report) {
  if (!report.is_verified) return report.cut_short.empty() ? "not asked for" : "not done";
  const auto entries = static_cast<double>(report.verified.entries);
  if (*report.is_verified) return fmt::format("{} entries, each as it was written", grouped(entries));
  return fmt::format("FAILED: {} of {} entries are as they were written", grouped(entries),
                     grouped(static_cast<double>(report.verified.written)));
}

std::string load_text(const Report& report) {
  const Options& options = report.options;
  const std::string clients = options.clients == 1 ? "" : fmt::format("{} clients, each ", options.clients);
  const std::string rate =
      options.rate == 0 ? "" : fmt::format(", {} a second wanted ({})", grouped(report.run.rate), name(report.run.arrivals));
  return fmt::format("{}{} in flight, {} B each, {:.1f} entries a packet{}, {:.1f} s after {:.1f} s of warm-up", clients,
                     options.in_flight, options.payload_bytes, report.run.entries_per_packet(), rate, report.run.result.seconds,
                     report.run.result.warmup_seconds);
}

std::string detail_lines(const Report& report) {
  const Run& run = report.run;
  std::string text = line("load", load_text(report));
  text += line("errors", fmt::format("{}  (resent {}, busy {}, dropped {}, elections {}, late sends {}, unsent {})",
                                     run.result.errors, run.counters.resent, run.counters.busy, run.packets_dropped,
                                     run.elections, run.result.late_sends, run.result.unsent));
  text += line("read back", read_back_text(report));
  return text;
}

}  // namespace

std::string to_table(const Report& report) {
  const bool has_run = report.options.measure != Measure::floor;
  std::string text;
  if (!report.cut_short.empty()) text += fmt::format("PARTIAL: {}\n", report.cut_short);
  if (has_run) {
    const auto ratio = report.ratio_to_floor();
    text += ratio
                ? fmt::format("{:.2f} x the floor: append p50 {} us, wire + disk {} us\n", *ratio,
                              microseconds(latency_us(report.run.result.latency_ns).p50), microseconds(*report.floors.total_us()))
                : fmt::format("append p50 {} us (no floor to compare with)\n",
                              microseconds(latency_us(report.run.result.latency_ns).p50));
    text += run_lines(report) + stage_lines(report) + ladder_lines(report);
  }
  text += floor_lines(report.floors);
  if (has_run) text += detail_lines(report);
  text += line("cluster", fmt::format("{} replicas, {}, ack {}, {}", report.replicas, name(report.options.where),
                                      report.options.ack, report.port));
  text += line("disk", fmt::format("{}{}", report.device, report.device_stable ? "" : " (NOT durable)"));
  text += line("cores", report.cpu_layout);
  text += line("commit", commit);
  for (const std::string& note : report.notes) text += line("note", note);
  return text;
}

}  // namespace synod::bench
