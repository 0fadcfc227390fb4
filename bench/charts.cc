#include "bench/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/percentiles.h"
#include "bench/plot.h"

namespace synod::bench {

namespace {

constexpr double low_height = 200;

struct Series {
  std::string name;
  std::string style;
  Points points;
};

// What a line of the chart stands for.
struct Key {
  std::string name;
  std::string style;
};

std::string figure(std::string_view title, std::string_view svg, const std::vector<Key>& keys, std::string_view note = "") {
  std::string text = fmt::format("<figure><figcaption><h3>{}</h3>", escape_html(title));
  for (const Key& key : keys) text += fmt::format("<span class='key {}'>{}</span>", key.style, escape_html(key.name));
  text += fmt::format("</figcaption>\n{}", svg);
  if (!note.empty()) text += fmt::format("<p class='note'>{}</p>", escape_html(note));
  return text + "</figure>\n";
}

// Each further unit to the right is ten times nearer to 100 %.
double nines(double percent) {
  return -std::log10(1 - percent / 100);
}

// The last step, 100 %, stands right above the one before.
Points to_points(const std::vector<std::pair<double, double>>& curve) {
  Points points;
  for (const auto& [percent, us] : curve) {
    const double last = points.empty() ? 0 : points.back().first;
    if (us > 0) points.emplace_back(percent < 100 ? nines(percent) : last, us);
  }
  return points;
}

Points curve_of(const Histogram& latency_ns) {
  std::vector<std::pair<double, double>> curve;
  for (const PercentileStep& step : percentile_steps(latency_ns)) {
    curve.emplace_back(step.percent, static_cast<double>(std::min(step.value_ns, latency_ns.max())) / 1000);
  }
  return to_points(curve);
}

Axis nines_axis(double most) {
  Axis axis{.to = std::max(most, 1.0), .title = "percentile"};
  for (const double percent : {0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999, 99.99999}) {
    if (nines(percent) <= axis.to + 0.01) axis.ticks.emplace_back(nines(percent), fmt::format("{:.7g}", percent));
  }
  return axis;
}

std::vector<Key> keys_of(const std::vector<Series>& series) {
  std::vector<Key> keys;
  keys.reserve(series.size());
  for (const Series& one : series) keys.push_back({one.name, one.style});
  return keys;
}

// The ends of all points, and of `levels`: (x most, y least, y most).
struct Extent {
  double x_most = 0;
  double y_least = 1e12;
  double y_most = 0;

  void take(double x, double y) {
    x_most = std::max(x_most, x);
    y_least = std::min(y_least, y);
    y_most = std::max(y_most, y);
  }
};

std::string percentile_plot(std::string_view title, const std::vector<Series>& series, const Floors& floors) {
  Extent extent;
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) extent.take(x, y);
  }
  if (extent.y_most <= 0) return "";
  const double wire = floors.wire_us().value_or(0);
  const double device = floors.device_us().value_or(0);
  for (const double level : {wire, device}) {
    if (level > 0) extent.take(0, level);
  }
  Plot plot(title, nines_axis(extent.x_most), log_axis("latency", extent.y_least, extent.y_most, short_time));
  if (wire > 0) plot.level(wire, "wire floor " + short_time(wire), "wire");
  if (device > 0) plot.level(device, "disk floor " + short_time(device), "device");
  for (const Series& one : series) plot.line(one.points, one.style);
  return figure(title, plot.svg(), keys_of(series));
}

std::string rung_name(const Rung& rung) {
  return fmt::format("{:.0f} %", rung.share * 100);
}

std::string rung_style(std::size_t number, std::size_t count) {
  constexpr std::size_t shades = 4;
  return fmt::format("shade{}", count <= 1 ? shades : 1 + number * (shades - 1) / (count - 1));
}

double seconds_at(std::size_t interval) {
  return static_cast<double>(interval) * static_cast<double>(Timeline::interval_ns) / 1e9;
}

// From the end of the warm-up to the end of the last whole interval.
Axis seconds_axis(std::size_t intervals) {
  Axis axis =
      linear_axis("since the warm-up", seconds_at(intervals), [](double seconds) { return fmt::format("{:g} s", seconds); });
  axis.to = seconds_at(intervals);
  std::erase_if(axis.ticks, [&](const auto& tick) { return tick.first > axis.to * (1 + 1e-9); });
  return axis;
}

// Those that ended within the measured time: the last one is seldom a whole one.
std::vector<Interval> whole_intervals(const Run& run) {
  std::vector<Interval> intervals = run.result.timeline.intervals();
  const auto whole = static_cast<std::size_t>(run.result.seconds * 1e9 / static_cast<double>(Timeline::interval_ns) + 0.01);
  intervals.resize(std::min(intervals.size(), whole));
  return intervals;
}

}  // namespace

std::string percentile_chart(const Report& report) {
  std::vector<Series> series;
  if (report.against && !report.against->percentiles.empty()) {
    series.push_back({"the older run", "old", to_points(report.against->percentiles)});
  }
  series.push_back({"this run", "run", curve_of(report.run.result.latency_ns)});
  return percentile_plot("Latency by percentile", series, report.floors);
}

std::string ladder_curves_chart(const Report& report) {
  std::vector<Series> series;
  series.reserve(report.ladder.size());
  for (const Rung& rung : report.ladder) {
    series.push_back({rung_name(rung), rung_style(series.size(), report.ladder.size()), curve_of(rung.run.result.latency_ns)});
  }
  return series.empty() ? "" : percentile_plot("Latency by percentile, at shares of the peak", series, report.floors);
}

std::string histogram_chart(const Report& report) {
  const std::vector<Bar> bars = log_bars(report.run.result.latency_ns);
  if (bars.empty()) return "";
  const auto count_of = [](const Bar& bar) { return static_cast<double>(bar.count); };
  const double most = count_of(std::ranges::max(bars, {}, &Bar::count));
  Axis x = log_axis("latency", bars.front().lower_ns / 1000, bars.back().upper_ns / 1000, short_time);
  Axis y = log_axis("appends", 1, most, short_number);
  y.from = 0.7;  // a single append is seen too
  Plot plot("Histogram of latency", std::move(x), std::move(y));
  for (const Bar& bar : bars) {
    if (bar.count == 0) continue;
    plot.bar(bar.lower_ns / 1000, bar.upper_ns / 1000, count_of(bar), "run",
             fmt::format("{} to {}: {}", short_time(bar.lower_ns / 1000), short_time(bar.upper_ns / 1000), bar.count));
  }
  return figure("Histogram", plot.svg(), {}, "Both axes are logarithmic.");
}

std::string throughput_chart(const Report& report) {
  const std::vector<Interval> intervals = whole_intervals(report.run);
  if (intervals.size() < 2) return "";
  const double per_second = 1e9 / static_cast<double>(Timeline::interval_ns);
  Points points;
  Extent extent;
  std::uint64_t errors = 0;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    points.emplace_back(seconds_at(i), static_cast<double>(intervals[i].appended) * per_second);
    points.emplace_back(seconds_at(i + 1), points.back().second);
    extent.take(points.back().first, points.back().second);
    errors += intervals[i].errors;
  }
  Plot plot("Throughput over time", seconds_axis(intervals.size()), linear_axis("appends/s", extent.y_most, short_number),
            low_height);
  plot.area(points, "run");
  plot.line(points, "run");
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    if (intervals[i].errors > 0) plot.mark(seconds_at(i), "bad", fmt::format("errors: {}", intervals[i].errors));
  }
  std::vector<Key> keys;
  if (errors > 0) keys.push_back({fmt::format("errors: {}", errors), "bad"});
  return figure("Throughput over time", plot.svg(), keys);
}

std::string longest_chart(const Report& report) {
  const std::vector<Interval> intervals = whole_intervals(report.run);
  const auto us_of = [](const Interval& interval) { return static_cast<double>(interval.latency_max_ns) / 1000; };
  Extent extent;
  for (const Interval& interval : intervals) {
    if (interval.latency_max_ns > 0) extent.take(0, us_of(interval));
  }
  if (intervals.size() < 2 || extent.y_most <= 0) return "";
  Plot plot("Longest latency over time", seconds_axis(intervals.size()),
            log_axis("latency", extent.y_least / 2, extent.y_most, short_time), low_height);
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const double us = us_of(intervals[i]);
    if (us > 0)
      plot.bar(seconds_at(i), seconds_at(i + 1), us, "late", fmt::format("{:.1f} s: {}", seconds_at(i), short_time(us)));
  }
  return figure("Longest latency in each tenth of a second", plot.svg(), {});
}

std::string ladder_chart(const Report& report) {
  if (report.ladder.empty() || !report.peak) return "";
  std::vector<Series> series{{"p50", "p50", {}}, {"p99", "p99", {}}, {"p99.99", "p9999", {}}};
  Extent extent;
  for (const Rung& rung : report.ladder) {
    const Latency latency = latency_us(rung.run.result.latency_ns);
    const double values[] = {latency.p50, latency.p99, latency.p9999};
    for (std::size_t i = 0; i < series.size(); ++i) {
      if (values[i] <= 0) continue;
      series[i].points.emplace_back(rung.run.rate, values[i]);
      extent.take(rung.run.rate, values[i]);
    }
  }
  if (extent.y_most <= 0) return "";
  Plot plot("Latency against load", linear_axis("load, appends/s", std::max(extent.x_most, *report.peak), short_number),
            log_axis("latency", extent.y_least, extent.y_most, short_time));
  for (const Series& one : series) {
    plot.line(one.points, one.style);
    for (const auto& [x, y] : one.points) {
      const auto rung = std::ranges::find(report.ladder, x, [](const Rung& each) { return each.run.rate; });
      plot.dot(x, y, one.style + (rung->run.keeps_up() ? "" : " hollow"),
               fmt::format("{} at {} appends/s: {}", one.name, short_number(x), short_time(y)));
    }
  }
  const bool all_keep_up = std::ranges::all_of(report.ladder, [](const Rung& rung) { return rung.run.keeps_up(); });
  return figure("Latency against load", plot.svg(), keys_of(series),
                all_keep_up ? "" : "A hollow point: the cluster did not keep up with that load.");
}

std::string stage_chart(const Report& report) {
  double total = 0;
  for (const StageTime& stage : report.stages) total += std::max(stage.mean_us, 0.0);
  if (!(total > 0)) return "";
  constexpr std::size_t hues = 8;
  std::string bar = "<div class='stack'>";
  std::string rows;
  for (std::size_t i = 0; i < report.stages.size(); ++i) {
    const StageTime& stage = report.stages[i];
    const double share = std::max(stage.mean_us, 0.0) / total * 100;
    const std::string name = escape_html(stage.name);
    bar += fmt::format("<span class='hue{}' style='width:{:.2f}%' title='{}'></span>", i % hues, share, name);
    rows += fmt::format("<tr><td><span class='key hue{}'>{}</span></td><td>{}</td><td>{}</td><td>{:.1f} %</td></tr>\n", i % hues,
                        name, short_time(stage.p50_us), short_time(stage.mean_us), share);
  }
  return "<figure class='wide'><figcaption><h3>Where the time of an append goes</h3></figcaption>\n" + bar +
         "</div>\n<table><thead><tr><th>stage</th><th>p50</th><th>mean</th><th>of the mean</th></tr></thead><tbody>\n" + rows +
         "</tbody></table></figure>\n";
}

}  // namespace synod::bench
