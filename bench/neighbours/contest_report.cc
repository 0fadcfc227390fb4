// What a contest found, for people and for scripts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/neighbours/contest.h"

namespace synod::bench {

namespace {

using Json = nlohmann::ordered_json;

std::vector<double> values_of(const Contender& contender, double Round::* value) {
  std::vector<double> values;
  values.reserve(contender.rounds.size());
  for (const Round& round : contender.rounds) values.push_back(round.*value);
  return values;
}

std::uint64_t errors_of(const Contender& contender) {
  std::uint64_t errors = 0;
  for (const Round& round : contender.rounds) errors += round.errors;
  return errors;
}

std::string shown(const OverRounds& spread, int digits) {
  return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", spread.median, digits, spread.least, digits, spread.most, digits);
}

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

Json to_json(const OverRounds& spread) {
  return {{"median", rounded(spread.median)}, {"min", rounded(spread.least)}, {"max", rounded(spread.most)}};
}

Json to_json(const Contender& contender) {
  Json rounds = Json::array();
  for (const Round& round : contender.rounds) {
    rounds.push_back({{"p50_us", rounded(round.p50_us)},
                      {"p99_us", rounded(round.p99_us)},
                      {"appends_per_second", rounded(round.appends_per_second)},
                      {"errors", round.errors}});
  }
  Json json = {{"name", contender.name},
               {"version", contender.version},
               {"durable", contender.is_durable},
               {"durability", contender.durability},
               {"failure", contender.failure.empty() ? Json(nullptr) : Json(contender.failure)},
               {"verified", contender.rounds.empty() ? Json(nullptr) : Json(contender.is_verified)},
               {"verified_how", contender.verified_how}};
  if (!contender.rounds.empty()) {
    json["p50_us"] = to_json(over_rounds(values_of(contender, &Round::p50_us)));
    json["p99_us"] = to_json(over_rounds(values_of(contender, &Round::p99_us)));
    json["appends_per_second"] = to_json(over_rounds(values_of(contender, &Round::appends_per_second)));
  }
  json["errors"] = errors_of(contender);
  json["rounds"] = std::move(rounds);
  return json;
}

std::string row(const Contender& contender) {
  const std::string name = contender.name + " " + contender.version;
  const char* const durable = contender.is_durable ? "durable" : "NOT";
  if (contender.rounds.empty()) return fmt::format("{:<8} {:<28} -\n", durable, name);
  return fmt::format("{:<8} {:<28} {:<26} {:<26} {:<28} {}\n", durable, name,
                     shown(over_rounds(values_of(contender, &Round::p50_us)), 1),
                     shown(over_rounds(values_of(contender, &Round::p99_us)), 1),
                     shown(over_rounds(values_of(contender, &Round::appends_per_second)), 0), errors_of(contender));
}

}  // namespace

OverRounds over_rounds(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {.median = median, .least = values.front(), .most = values.back()};
}

// Rounds are held in one order and end with the first failure, so those of the same number belong together.
std::vector<Ratio> ContestReport::ratios() const {
  std::vector<Ratio> ratios;
  const Contender& synod = contenders.front();
  for (const Contender& other : contenders) {
    const std::size_t rounds = std::min(synod.rounds.size(), other.rounds.size());
    if (&other == &synod || rounds == 0) continue;
    std::vector<double> p50;
    std::vector<double> rate;
    for (std::size_t i = 0; i < rounds; ++i) {
      p50.push_back(synod.rounds[i].p50_us / other.rounds[i].p50_us);
      rate.push_back(synod.rounds[i].appends_per_second / other.rounds[i].appends_per_second);
    }
    ratios.push_back(
        {.neighbour = other.name, .rounds = rounds, .p50 = over_rounds(p50), .appends_per_second = over_rounds(rate)});
  }
  return ratios;
}

std::string to_table(const ContestReport& report) {
  const ContestOptions& options = report.options;
  std::string text;
  if (!report.cut_short.empty()) text += fmt::format("PARTIAL: {}\n", report.cut_short);
  text += fmt::format("{} B, {} client{}, {} in flight each, {} rounds of {:.1f} s in turns: median (least..most)\n",
                      options.payload_bytes, options.clients, options.clients == 1 ? "" : "s", options.in_flight, options.rounds,
                      options.seconds);
  text += fmt::format("{:<8} {:<28} {:<26} {:<26} {:<28} {}\n", "durable", "system", "p50 us", "p99 us", "appends/s", "errors");
  for (const Contender& contender : report.contenders) text += row(contender);
  for (const Ratio& ratio : report.ratios()) {
    text += fmt::format("synod / {:<12} p50 {:<24} appends/s {}\n", ratio.neighbour, shown(ratio.p50, 3),
                        shown(ratio.appends_per_second, 2));
  }
  for (const Contender& contender : report.contenders) {
    text += fmt::format("  {:<12} {}\n", contender.name, contender.durability);
    if (!contender.rounds.empty()) {
      text += fmt::format("  {:<12} read back: {}{}\n", "", contender.is_verified ? "" : "FAILED, ", contender.verified_how);
    }
    if (!contender.failure.empty()) text += fmt::format("  {:<12} {}\n", "", contender.failure);
  }
  return text + fmt::format("  {:<12} {}\n  {:<12} {}\n", "disk", report.device, "cores", report.cpu_layout);
}

std::string to_json(const ContestReport& report) {
  const ContestOptions& options = report.options;
  Json json = {{"bench", "neighbours"},
               {"payload_bytes", options.payload_bytes},
               {"clients", options.clients},
               {"in_flight", options.in_flight},
               {"rounds", options.rounds},
               {"seconds", options.seconds},
               {"device", report.device},
               {"cpu_layout", report.cpu_layout},
               {"cut_short", report.cut_short.empty() ? Json(nullptr) : Json(report.cut_short)}};
  json["contenders"] = Json::array();
  for (const Contender& contender : report.contenders) json["contenders"].push_back(to_json(contender));
  json["ratios"] = Json::array();
  for (const Ratio& ratio : report.ratios()) {
    json["ratios"].push_back({{"neighbour", ratio.neighbour},
                              {"rounds", ratio.rounds},
                              {"p50", to_json(ratio.p50)},
                              {"appends_per_second", to_json(ratio.appends_per_second)}});
  }
  return json.dump(2);
}

}  // namespace synod::bench
