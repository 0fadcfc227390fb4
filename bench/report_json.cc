// A report for scripts.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "bench/commit.h"
#include "bench/percentiles.h"
#include "bench/report.h"

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
    list.push_back({{"method", time.method},
                    {"p50_us", rounded(time.p50_us)},
                    {"p99_us", rounded(time.p99_us)},
                    {"p9999_us", rounded(time.p9999_us)},
                    {"rounds", time.rounds}});
  }
  return list;
}

Json to_json(const Floors& floors) {
  return {{"wire", number_or_null(floors.wire_us())}, {"device", number_or_null(floors.device_us())}};
}

Json to_json(const Latency& latency) {
  return {{"p50", rounded(latency.p50)},   {"p90", rounded(latency.p90)},     {"p99", rounded(latency.p99)},
          {"p999", rounded(latency.p999)}, {"p9999", rounded(latency.p9999)}, {"max", rounded(latency.max)}};
}

Json to_json(const Timeline& timeline) {
  Json appended = Json::array();
  Json errors = Json::array();
  Json latency_max_us = Json::array();
  for (const Interval& interval : timeline.intervals()) {
    appended.push_back(interval.appended);
    errors.push_back(interval.errors);
    latency_max_us.push_back(rounded(static_cast<double>(interval.latency_max_ns) / 1000));
  }
  return {{"interval_seconds", static_cast<double>(Timeline::interval_ns) / 1e9},
          {"appended", std::move(appended)},
          {"errors", std::move(errors)},
          {"latency_max_us", std::move(latency_max_us)}};
}

// Pairs of a percentage and microseconds.
Json curve_of(const Histogram& latency_ns) {
  Json points = Json::array();
  for (const PercentileStep& step : percentile_steps(latency_ns)) {
    const std::uint64_t value_ns = std::min(step.value_ns, latency_ns.max());
    points.push_back({std::round(step.percent * 1e9) / 1e9, rounded(static_cast<double>(value_ns) / 1000)});
  }
  return points;
}

// Pairs of a bar's upper end in microseconds and its count. The first bar is as wide as the others.
Json bars_of(const Histogram& latency_ns) {
  Json bars = Json::array();
  for (const Bar& bar : log_bars(latency_ns)) bars.push_back({rounded(bar.upper_ns / 1000), bar.count});
  return bars;
}

// What is the same for the run and for a rung of the ladder.
void put_load(Json& json, const Run& run, const Report& report) {
  json["appends_per_second"] = rounded(run.appends_per_second());
  json["bytes_per_second"] = rounded(run.appends_per_second() * static_cast<double>(report.options.payload_bytes));
  json["latency_us"] = to_json(latency_us(run.result.latency_ns));
}

void put_outcome(Json& json, const Run& run) {
  json["rate"] = run.arrivals == ArrivalKind::closed ? Json(nullptr) : Json(rounded(run.rate));
  json["arrivals"] = name(run.arrivals);
  json["seconds"] = rounded(run.result.seconds);
  json["warmup_seconds"] = rounded(run.result.warmup_seconds);
  json["settled"] = run.result.settled;
  json["appended"] = run.result.appended;
  json["errors"] = run.result.errors;
  json["entries_per_packet"] = rounded(run.entries_per_packet());
  json["elections"] = run.elections;
  json["packets_dropped"] = run.packets_dropped;
  json["late_sends"] = run.result.late_sends;
  json["unsent"] = run.result.unsent;
  json["busy"] = run.counters.busy;
  json["messages_resent"] = run.counters.resent;
}

void put_curves(Json& json, const Run& run) {
  json["percentiles"] = curve_of(run.result.latency_ns);
  json["histogram"] = bars_of(run.result.latency_ns);
}

Json to_json(const Rung& rung, const Report& report) {
  Json json = {{"share", rung.share}};
  put_load(json, rung.run, report);
  put_outcome(json, rung.run);
  json["keeps_up"] = rung.run.keeps_up();
  put_curves(json, rung.run);
  return json;
}

Json to_json(const Environment& environment) {
  Json json = Json::object();
  for (const Fact& fact : environment) json[std::string(fact.key)] = fact.value;
  return json;
}

Json to_json(const Failure& failure) {
  return {{"killed", failure.killed.value()},
          {"at_seconds", rounded(failure.at_seconds)},
          {"rate_before", rounded(failure.rate_before)},
          {"outage_seconds", rounded(failure.outage_seconds)},
          {"recovery_seconds", failure.recovered ? Json(rounded(failure.recovery_seconds)) : Json(nullptr)},
          {"errors", failure.errors}};
}

Json to_json(const std::vector<StageTime>& stages) {
  Json list = Json::array();
  for (const StageTime& stage : stages) {
    list.push_back({{"name", stage.name}, {"p50_us", rounded(stage.p50_us)}, {"mean_us", rounded(stage.mean_us)}});
  }
  return list;
}

Json to_json(const Comparison& against) {
  Json changes = Json::array();
  for (const Change& change : against.changes) {
    changes.push_back({{"figure", change.figure},
                       {"old", rounded(change.before)},
                       {"new", rounded(change.now)},
                       {"ratio", number_or_null(change.ratio())}});
  }
  return {{"path", against.path},
          {"commit", against.commit},
          {"time_utc", against.time_utc},
          {"comparable", against.is_comparable()},
          {"differences", against.differences},
          {"cautions", against.cautions},
          {"changes", std::move(changes)}};
}

void put_details(Json& json, const Report& report) {
  json["clients"] = report.options.clients;
  json["in_flight"] = report.options.in_flight;
  put_outcome(json, report.run);
  json["verified"] = report.is_verified ? Json(*report.is_verified) : Json(nullptr);
  json["entries_written"] = report.verified.written;
  json["entries_verified"] = report.verified.entries;
  json["peak"] = number_or_null(report.peak);
  json["ladder"] = Json::array();
  for (const Rung& rung : report.ladder) json["ladder"].push_back(to_json(rung, report));
  json["stages"] = to_json(report.stages);
  json["failure"] = report.failure ? to_json(*report.failure) : Json(nullptr);
  json["timeline"] = to_json(report.run.result.timeline);
  put_curves(json, report.run);
}

Json to_json(const Report& report) {
  Json json;
  json["bench"] = name(report.options.measure);
  const bool has_run = report.has_run();
  if (has_run) put_load(json, report.run, report);
  json["cut_short"] = report.cut_short.empty() ? Json(nullptr) : Json(report.cut_short);
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
  json["against"] = report.against ? to_json(*report.against) : Json(nullptr);
  return json;
}

// Where the list that opens at `begin` ends, if there are only numbers and lists of them in it.
std::optional<std::size_t> end_of_numbers(std::string_view text, std::size_t begin) {
  std::size_t depth = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    if (text[i] == '{' || text[i] == '"') return std::nullopt;
    if (text[i] == '[') ++depth;
    if (text[i] == ']' && --depth == 0) return i;
  }
  return std::nullopt;
}

// Puts lists of numbers into a line each: curves would have a line for every number.
std::string with_short_lists(std::string_view text) {
  std::string result;
  bool is_quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_escaped = is_quoted && text[i] == '\\';
    if (is_escaped) result += text[i++];
    if (text[i] == '"' && !is_escaped) is_quoted = !is_quoted;
    const auto end = text[i] == '[' && !is_quoted ? end_of_numbers(text, i) : std::nullopt;
    if (end) std::ranges::copy_if(text.substr(i, *end - i), std::back_inserter(result), [](char c) { return c > ' '; });
    i = end.value_or(i);
    result += text[i];
  }
  return result;
}

}  // namespace

std::string to_json(std::span<const Report> reports) {
  Json json;
  if (reports.size() == 1) {
    json = to_json(reports.front());
    json["environment"] = to_json(reports.front().environment);
  } else {
    json["bench"] = "sweep";
    json["environment"] = reports.empty() ? Json(nullptr) : to_json(reports.front().environment);
    json["runs"] = Json::array();
    for (const Report& report : reports) json["runs"].push_back(to_json(report));
  }
  // Bytes that are no text come from file names at most: they are replaced.
  return with_short_lists(json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace synod::bench
