// A report for spreadsheets: a row for each run and for each rung of its ladder. New columns come last.
#include <fmt/format.h>

#include "bench/commit.h"
#include "bench/report.h"

namespace synod::bench {

namespace {

constexpr const char* header =
    "bench,part,share,where,ack,port,device,device_stable,payload_bytes,replicas,clients,in_flight,arrivals,rate,"
    "seconds,appended,errors,appends_per_second,bytes_per_second,p50_us,p90_us,p99_us,p999_us,p9999_us,max_us,"
    "wire_floor_us,device_floor_us,ratio_to_floor,peak,entries_per_packet,late_sends,unsent,busy,messages_resent,packets_dropped,"
    "elections,settled,keeps_up,verified,cut_short,commit,time_utc\n";

class Row {
 public:
  Row& add(std::string_view text) {
    if (!text_.empty()) text_.push_back(',');
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
      text_.append(text);
      return *this;
    }
    text_.push_back('"');
    for (const char c : text) text_.append(c == '"' ? 2 : 1, c);
    text_.push_back('"');
    return *this;
  }
  Row& add(const char* text) { return add(std::string_view(text)); }  // or it would become a bool
  Row& add(double value) { return add(std::string_view(fmt::format("{:.3f}", value))); }
  Row& add(std::uint64_t value) { return add(std::string_view(std::to_string(value))); }
  Row& add(bool value) { return add(std::string_view(value ? "true" : "false")); }
  template <class T>
  Row& add(const std::optional<T>& value) {
    return value ? add(*value) : skip();
  }
  Row& skip(std::size_t cells = 1) {
    text_.append(cells, ',');
    return *this;
  }
  [[nodiscard]] std::string line() const { return text_ + "\n"; }

 private:
  std::string text_;
};

void add_conditions(Row& row, const Report& report) {
  const Options& options = report.options;
  row.add(name(options.where)).add(options.ack).add(report.port).add(report.device).add(report.device_stable);
  row.add(options.payload_bytes).add(report.replicas).add(options.clients).add(options.in_flight);
}

void add_figures(Row& row, const Run& run, const Report& report) {
  const Latency latency = latency_us(run.result.latency_ns);
  row.add(name(run.arrivals)).add(run.arrivals == ArrivalKind::closed ? std::nullopt : std::optional(run.rate));
  row.add(run.result.seconds).add(run.result.appended).add(run.result.errors);
  row.add(run.appends_per_second()).add(run.appends_per_second() * static_cast<double>(report.options.payload_bytes));
  row.add(latency.p50).add(latency.p90).add(latency.p99).add(latency.p999).add(latency.p9999).add(latency.max);
}

void add_outcome(Row& row, const Run& run) {
  row.add(run.entries_per_packet()).add(run.result.late_sends).add(run.result.unsent).add(run.counters.busy);
  row.add(run.counters.resent).add(run.packets_dropped).add(run.elections).add(run.result.settled).add(run.keeps_up());
}

void add_end(Row& row, const Report& report) {
  row.add(report.is_verified).add(report.cut_short).add(commit);
  row.add(value_of(report.environment, "time_utc"));
}

std::string run_line(const Report& report) {
  constexpr std::size_t figures = 13;
  constexpr std::size_t outcomes = 9;
  Row row;
  row.add(name(report.options.measure)).add("run").skip();
  add_conditions(row, report);
  if (report.has_run())
    add_figures(row, report.run, report);
  else
    row.skip(figures);
  row.add(report.floors.wire_us()).add(report.floors.device_us());
  row.add(report.has_run() ? report.ratio_to_floor() : std::nullopt).add(report.peak);
  if (report.has_run())
    add_outcome(row, report.run);
  else
    row.skip(outcomes);
  add_end(row, report);
  return row.line();
}

std::string rung_line(const Rung& rung, const Report& report) {
  Row row;
  row.add(name(report.options.measure)).add("rung").add(rung.share);
  add_conditions(row, report);
  add_figures(row, rung.run, report);
  row.add(report.floors.wire_us()).add(report.floors.device_us()).skip().add(report.peak);
  add_outcome(row, rung.run);
  add_end(row, report);
  return row.line();
}

}  // namespace

std::string to_csv(std::span<const Report> reports) {
  std::string text = header;
  for (const Report& report : reports) {
    text += run_line(report);
    for (const Rung& rung : report.ladder) text += rung_line(rung, report);
  }
  return text;
}

}  // namespace synod::bench
