// A report for scripts.
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/commit.h"
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
    list.push_back(
        {{"method", time.method}, {"p50_us", rounded(time.p50_us)}, {"p99_us", rounded(time.p99_us)}, {"rounds", time.rounds}});
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

Json to_json(const Rung& rung, const Report& report) {
  Json json = {{"share", rung.share}};
  put_load(json, rung.run, report);
  put_outcome(json, rung.run);
  json["keeps_up"] = rung.run.keeps_up();
  return json;
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
  json["stages"] = Json::array();
  for (const StageTime& stage : report.stages) {
    json["stages"].push_back({{"name", stage.name},
                              {"mean_us", rounded(stage.mean_us)},
                              {"p50_us", rounded(stage.p50_us)},
                              {"p99_us", rounded(stage.p99_us)}});
  }
  json["timeline"] = to_json(report.run.result.timeline);
}

}  // namespace

std::string to_json(const Report& report) {
  Json json;
  json["bench"] = name(report.options.measure);
  const bool has_run = report.options.measure != Measure::floor;
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
  return json.dump(2);
}

}  // namespace synod::bench
