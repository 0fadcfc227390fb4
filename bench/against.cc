#include "bench/against.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/report.h"

namespace synod::bench {

namespace {

using Json = nlohmann::json;
using Pointer = Json::json_pointer;

constexpr std::size_t file_bytes_max = 64 << 20;
constexpr std::size_t points_max = 2000;
constexpr std::size_t quote_max = 80;

// Two runs that differ in one of these measured different things.
constexpr std::array conditions{"/bench",   "/where",     "/ack",      "/port", "/payload_bytes", "/replicas",
                                "/clients", "/in_flight", "/arrivals", "/rate", "/device_stable"};
// With another of these, times changed for other reasons too. (The device is named with the method that the journal chose.)
constexpr std::array surroundings{"/device",
                                  "/environment/cpu",
                                  "/environment/cores",
                                  "/environment/hypervisor",
                                  "/environment/governor",
                                  "/environment/turbo",
                                  "/environment/kernel",
                                  "/environment/build"};
constexpr std::array figures{"/ratio_to_floor",     "/latency_us/p50", "/latency_us/p99", "/latency_us/p9999",
                             "/appends_per_second", "/peak",           "/floor_us/wire",  "/floor_us/device"};

Json at(const Json& json, const std::string& place) {
  const Pointer pointer(place);
  return json.is_object() && json.contains(pointer) ? json[pointer] : Json(nullptr);
}

std::optional<double> number_at(const Json& json, const std::string& place) {
  const Json value = at(json, place);
  if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
  return value.get<double>();
}

// As JSON in ASCII: control characters come out escaped.
std::string quoted(const Json& value) {
  if (value.is_null()) return "none";
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > quote_max) text = text.substr(0, quote_max) + "...";
  return text;
}

// A short string without its quotes, if it needs none.
std::string plain(const Json& value) {
  const std::string text = quoted(value);
  const bool is_plain = text.size() >= 2 && text.front() == '"' && text.back() == '"' && text.find('\\') == std::string::npos;
  return is_plain ? text.substr(1, text.size() - 2) : text;
}

std::vector<std::pair<double, double>> read_curve(const Json& json) {
  std::vector<std::pair<double, double>> curve;
  const Json points = at(json, "/percentiles");
  for (const Json& point : points) {
    if (curve.size() == points_max || !point.is_array() || point.size() != 2) return {};
    if (!point[0].is_number() || !point[1].is_number()) return {};
    const double percent = point[0].get<double>();
    const double us = point[1].get<double>();
    const bool is_sane = percent >= 0 && percent <= 100 && us >= 0 && us < 1e12;
    if (!is_sane) return {};
    curve.emplace_back(percent, us);
  }
  return curve;
}

std::vector<Change> changes_of(const Json& before, const Json& now) {
  std::vector<Change> changes;
  for (const char* const figure : figures) {
    const auto old_value = number_at(before, figure);
    const auto new_value = number_at(now, figure);
    if (old_value && new_value) changes.push_back({.figure = figure + 1, .before = *old_value, .now = *new_value});
  }
  return changes;
}

Result<std::string> read_text(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  std::string text(file_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return fail(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > file_bytes_max) return fail(fmt::format("{} is too large for a report of synod bench", path));
  return text;
}

}  // namespace

Result<OldReport> read_report(const std::string& path) {
  auto text = read_text(path);
  if (!text) return std::unexpected(text.error());
  const Json json = Json::parse(*text, nullptr, false);
  const auto refuse = [&](const char* why) {
    return fail(fmt::format("{} is not the JSON of a run of synod bench: {}", path, why));
  };
  if (json.is_discarded()) return refuse("it is not JSON");
  if (!json.is_object() || !at(json, "/bench").is_string()) return refuse("it has no 'bench'");
  if (json.contains("runs")) return refuse("it is a sweep; compare with a single run");
  const bool has_run = json["bench"] != "floor";
  if (has_run && !number_at(json, "/latency_us/p50")) return refuse("it has no 'latency_us' with a 'p50'");
  if (!at(json, "/floor_us").is_object()) return refuse("it has no 'floor_us'");
  return OldReport{.path = path, .text = *std::move(text)};
}

Comparison compare(const OldReport& before, const Report& now) {
  const Json old_json = Json::parse(before.text, nullptr, false);
  const Json new_json = Json::parse(to_json(std::span(&now, 1)), nullptr, false);
  Comparison found{
      .path = before.path, .commit = plain(at(old_json, "/commit")), .time_utc = plain(at(old_json, "/environment/time_utc"))};
  const auto note_difference = [&](std::string_view place, std::vector<std::string>& list) {
    const Json was = at(old_json, std::string(place));
    const Json is = at(new_json, std::string(place));
    const std::string_view key = place.substr(place.rfind('/') + 1);
    if (was != is) list.push_back(fmt::format("{} was {}, is {}", key, quoted(was), quoted(is)));
  };
  for (const char* const place : conditions) note_difference(place, found.differences);
  if (!found.is_comparable()) return found;
  for (const char* const place : surroundings) note_difference(place, found.cautions);
  if (at(old_json, "/cut_short").is_string())
    found.cautions.push_back("the old run was cut short: " + quoted(old_json["cut_short"]));
  found.changes = changes_of(old_json, new_json);
  found.percentiles = read_curve(old_json);
  return found;
}

}  // namespace synod::bench
