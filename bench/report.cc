#include "bench/report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/commit.h"

namespace synod::bench {

namespace {

using Json = nlohmann::ordered_json;

// Nanoseconds are as far as the clock goes.
double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(rounded(*value)) : Json(nullptr);
}

Json to_json(const std::vector<FloorTime>& times) {
  Json list = Json::array();
  for (const FloorTime& time : times) {
    list.push_back(
        {{"method", time.method}, {"p50_us", rounded(time.p50_us)}, {"p99_us", rounded(time.p99_us)}, {"rounds", time.rounds}});
  }
  return list;
}

Json to_json(const Floors& floors) {
  return {{"wire", number_or_null(floors.wire_us())}, {"device", number_or_null(floors.device_us())}};
}

void put_run(Json& json, const Report& report) {
  json["appends_per_second"] = rounded(report.appends_per_second());
  json["bytes_per_second"] = rounded(report.appends_per_second() * static_cast<double>(report.options.payload_bytes));
  json["latency_us"] = {{"p50", rounded(report.latency_us.p50)},
                        {"p90", rounded(report.latency_us.p90)},
                        {"p99", rounded(report.latency_us.p99)},
                        {"p999", rounded(report.latency_us.p999)},
                        {"max", rounded(report.latency_us.max)}};
}

void put_details(Json& json, const Report& report) {
  json["in_flight"] = report.options.in_flight;
  json["rate"] = report.options.rate == 0 ? Json(nullptr) : Json(report.options.rate);
  json["seconds"] = rounded(report.seconds);
  json["appended"] = report.appended;
  json["errors"] = report.errors;
  json["entries_per_packet"] = rounded(report.entries_per_packet);
  json["elections"] = report.elections;
  json["packets_dropped"] = report.packets_dropped;
  json["late_sends"] = report.late_sends;
  json["busy"] = report.busy;
  json["messages_resent"] = report.resent;
  json["verified"] = report.verified ? Json(*report.verified) : Json(nullptr);
  json["entries_written"] = report.entries_written;
  json["entries_verified"] = report.entries_verified;
}

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
  const Latency& latency = report.latency_us;
  std::string text =
      line("appends/s", fmt::format("{}  ({:.1f} MB/s)", grouped(report.appends_per_second()),
                                    report.appends_per_second() * static_cast<double>(report.options.payload_bytes) / 1e6));
  text += line("latency us",
               fmt::format("p50 {}   p90 {}   p99 {}   p99.9 {}   max {}", microseconds(latency.p50), microseconds(latency.p90),
                           microseconds(latency.p99), microseconds(latency.p999), microseconds(latency.max)));
  return text;
}

std::string read_back_text(const Report& report) {
  if (!report.verified) return "not asked for";
  if (*report.verified) {
    return fmt::format("{} entries, each as it was written", grouped(static_cast<double>(report.entries_verified)));
  }
  return fmt::format("FAILED: {} of {} entries are as they were written", report.entries_verified, report.entries_written);
}

std::string detail_lines(const Report& report) {
  std::string text =
      line("load", fmt::format("{} in flight, {} B each, {:.1f} entries a packet{}, {:.1f} s", report.options.in_flight,
                               report.options.payload_bytes, report.entries_per_packet,
                               report.options.rate == 0
                                   ? ""
                                   : fmt::format(", {} a second wanted", grouped(static_cast<double>(report.options.rate))),
                               report.seconds));
  text += line("errors", fmt::format("{}  (resent {}, busy {}, dropped {}, elections {}, late sends {})", report.errors,
                                     report.resent, report.busy, report.packets_dropped, report.elections, report.late_sends));
  text += line("read back", read_back_text(report));
  return text;
}

}  // namespace

std::optional<double> Floors::wire_us() const {
  return wire.empty() ? std::nullopt : std::optional(lowest_us(wire));
}

std::optional<double> Floors::device_us() const {
  if (diskless) return 0;
  return device.empty() ? std::nullopt : std::optional(lowest_us(device));
}

std::optional<double> Floors::total_us() const {
  const auto on_wire = wire_us();
  const auto on_device = device_us();
  if (!on_wire || !on_device || *on_wire + *on_device <= 0) return std::nullopt;
  return *on_wire + *on_device;
}

double Report::appends_per_second() const {
  return seconds > 0 ? static_cast<double>(appended) / seconds : 0;
}

std::optional<double> Report::ratio_to_floor() const {
  const auto total = floors.total_us();
  return total ? std::optional(latency_us.p50 / *total) : std::nullopt;
}

std::string to_json(const Report& report) {
  Json json;
  json["bench"] = name(report.options.measure);
  const bool has_run = report.options.measure != Measure::floor;
  if (has_run) put_run(json, report);
  json["floor_us"] = to_json(report.floors);
  if (has_run) json["ratio_to_floor"] = number_or_null(report.ratio_to_floor());
  json["ack"] = report.options.ack;
  json["where"] = name(report.options.where);
  json["port"] = report.port;
  json["device"] = report.device;
  json["device_stable"] = report.device_stable;
  json["payload_bytes"] = report.options.payload_bytes;
  json["replicas"] = report.replicas;
  if (has_run) put_details(json, report);
  json["cpu_layout"] = report.cpu_layout;
  json["commit"] = commit;
  json["floors"] = {{"wire", to_json(report.floors.wire)}, {"device", to_json(report.floors.device)}};
  json["notes"] = report.notes;
  return json.dump(2);
}

std::string to_table(const Report& report) {
  const bool has_run = report.options.measure != Measure::floor;
  std::string text;
  if (has_run) {
    const auto ratio = report.ratio_to_floor();
    text += ratio ? fmt::format("{:.2f} x the floor: append p50 {} us, wire + disk {} us\n", *ratio,
                                microseconds(report.latency_us.p50), microseconds(*report.floors.total_us()))
                  : fmt::format("append p50 {} us (no floor to compare with)\n", microseconds(report.latency_us.p50));
    text += run_lines(report);
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
