// A report as a page: everything it needs is in it, and nothing in it needs a script. Text from outside goes through escape_html.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/charts.h"
#include "bench/commit.h"
#include "bench/page/style.h"
#include "bench/plot.h"
#include "bench/report.h"

namespace synod::bench {

namespace {

std::string durability(const Report& report) {
  return report.device_stable ? "durable" : "NOT durable";
}

std::string title_of(const Report& report) {
  const Options& options = report.options;
  std::string text = fmt::format("{}, {}, {} B, {} replicas", name(options.measure), name(options.where), options.payload_bytes,
                                 report.replicas);
  if (!report.has_run()) return text;
  if (options.clients > 1) text += fmt::format(", {} clients", options.clients);
  text +=
      options.rate > 0 ? fmt::format(", {} appends/s wanted", options.rate) : fmt::format(", {} in flight", options.in_flight);
  return text + ", " + durability(report);
}

std::string tile(std::string_view value, std::string_view label) {
  return fmt::format("<div class='card'><b>{}</b><span>{}</span></div>\n", escape_html(value), escape_html(label));
}

// "57.8 kB/s"
std::string bytes_per_second(double value) {
  const std::string text = short_number(value);
  return text + (text.find(' ') == std::string::npos ? " B/s" : "B/s");
}

std::string time_or(const std::optional<double>& us, const char* otherwise) {
  return us ? short_time(*us) : otherwise;
}

std::string bar_row(std::string_view label, double total, const std::vector<std::pair<const char*, double>>& parts, double most) {
  std::string bars;
  for (const auto& [style, value] : parts)
    if (value > 0) bars += fmt::format("<span class='{}' style='width:{:.2f}%'></span>", style, 100 * value / most);
  return fmt::format("<span>{}</span><div class='stack'>{}</div><b>{}</b>\n", escape_html(label), bars, short_time(total));
}

std::string headline(const Report& report) {
  const auto large = [](const std::string& figure, const char* meaning) {
    return fmt::format("<div class='ratio'>{}</div><p class='dim'>{}</p>", figure, meaning);
  };
  if (!report.has_run()) return large(time_or(report.floors.total_us(), "unknown"), "the floor: wire and disk alone");
  if (report.run.result.latency_ns.count() == 0) return large("-", "nothing was measured");
  if (const auto ratio = report.ratio_to_floor()) {
    return large(fmt::format("{:.2f}<small> \u00d7</small>", *ratio),
                 "the floor: p50 of an append over what wire and disk alone ask for");
  }
  return large(short_time(latency_us(report.run.result.latency_ns).p50),
               "p50 of an append; no floor could be measured to compare with");
}

// The ratio first, and what it is a ratio of.
std::string hero(const Report& report) {
  const double p50 = latency_us(report.run.result.latency_ns).p50;
  std::string text = "<div class='card hero'><div>" + headline(report);
  text += "</div>\n<div class='against-floor'>";
  const double wire = report.floors.wire_us().value_or(0);
  const double device = report.floors.device_us().value_or(0);
  const double most = std::max({p50, wire + device, 1e-3});
  if (report.has_run()) text += bar_row("append, p50", p50, {{"run", p50}}, most);
  if (report.floors.total_us()) text += bar_row("wire + disk", wire + device, {{"wire", wire}, {"device", device}}, most);
  text += fmt::format(
      "<p class='keys'><span class='key wire'>wire floor {}</span> <span class='key device'>disk floor "
      "{}</span></p></div></div>\n",
      time_or(report.floors.wire_us(), "not measurable from here"),
      report.floors.diskless ? "0, diskless" : time_or(report.floors.device_us(), "not measurable from here"));
  return text;
}

std::string tiles(const Report& report) {
  const Latency latency = latency_us(report.run.result.latency_ns);
  const double rate = report.run.appends_per_second();
  std::string text = "<div class='tiles'>\n";
  text += tile(short_number(rate), "appends/s");
  text += tile(bytes_per_second(rate * static_cast<double>(report.options.payload_bytes)), "payload");
  text += tile(short_time(latency.p50), "p50") + tile(short_time(latency.p99), "p99");
  text += tile(short_time(latency.p9999), "p99.99") + tile(short_time(latency.max), "longest");
  if (report.peak) text += tile(short_number(*report.peak), "peak, appends/s");
  return text + "</div>\n";
}

std::string banners(const Report& report) {
  std::string text;
  if (!report.cut_short.empty()) {
    text += fmt::format(
        "<div class='banner'><strong>Partial.</strong> The run ended early: {}. What was measured until then is "
        "below.</div>\n",
        escape_html(report.cut_short));
  }
  if (report.is_verified == false) {
    text += "<div class='banner'><strong>Failed.</strong> What was read back is not what was written.</div>\n";
  }
  if (report.has_run() && !report.device_stable) {
    text += fmt::format("<div class='banner'><strong>Not durable.</strong> Entries were kept in: {}.</div>\n",
                        escape_html(report.device));
  }
  return text;
}

std::string ladder_table(const Report& report) {
  if (report.ladder.empty()) return "";
  std::string text =
      "<figure class='wide'><figcaption><h3>The ladder of load</h3></figcaption><div class='scroll'><table><thead><tr><th>of "
      "the "
      "peak</th><th>appends/s</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>p99.99</th><th>longest</th><th>kept "
      "up</th></tr></thead><tbody>\n";
  for (const Rung& rung : report.ladder) {
    const Latency latency = latency_us(rung.run.result.latency_ns);
    text += fmt::format("<tr><td>{:.0f} %</td><td>{}</td>", rung.share * 100, short_number(rung.run.rate));
    for (const double us : {latency.p50, latency.p90, latency.p99, latency.p999, latency.p9999, latency.max})
      text += fmt::format("<td>{}</td>", short_time(us));
    text += fmt::format("<td{}</td></tr>\n", rung.run.keeps_up() ? ">yes" : " class='worse'>no");
  }
  return text + "</tbody></table></div></figure>\n";
}

std::string charts(const Report& report) {
  return "<div class='charts'>\n" + percentile_chart(report) + histogram_chart(report) + throughput_chart(report) +
         longest_chart(report) + stage_chart(report) + ladder_chart(report) + ladder_curves_chart(report) + ladder_table(report) +
         "</div>\n";
}

// A figure of a comparison, as people call it.
struct Figure {
  std::string_view key;
  std::string_view name;
  std::string (*text)(double);
  int better;  // 1: more is better, -1: less, 0: neither
};

std::string plain_ratio(double ratio) {
  return fmt::format("{:.2f} \u00d7", ratio);
}

constexpr Figure figures[] = {{"ratio_to_floor", "ratio to floor", plain_ratio, -1},
                              {"latency_us/p50", "p50", short_time, -1},
                              {"latency_us/p99", "p99", short_time, -1},
                              {"latency_us/p9999", "p99.99", short_time, -1},
                              {"appends_per_second", "appends/s", short_number, 1},
                              {"peak", "peak, appends/s", short_number, 1},
                              {"floor_us/wire", "wire floor", short_time, 0},
                              {"floor_us/device", "disk floor", short_time, 0}};

// Within 3 % nobody can tell on most machines.
const char* judge(const Figure& figure, double ratio) {
  constexpr double noise = 0.03;
  if (figure.better == 0 || std::abs(ratio - 1) < noise) return "";
  return (ratio > 1) == (figure.better > 0) ? "better" : "worse";
}

std::string change_row(const Change& change) {
  const Figure* const figure = std::ranges::find(figures, change.figure, &Figure::key);
  if (figure == std::end(figures)) return "";
  const auto ratio = change.ratio();
  return fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td class='{}'>{}</td></tr>\n", figure->name,
                     figure->text(change.before), figure->text(change.now), judge(*figure, ratio.value_or(1)),
                     ratio ? fmt::format("{:.3f}", *ratio) : "-");
}

std::string list(const std::vector<std::string>& items) {
  std::string text = "<ul>";
  for (const std::string& item : items) text += fmt::format("<li>{}</li>", escape_html(item));
  return text + "</ul>\n";
}

std::string against(const Comparison& against) {
  std::string text = fmt::format("<h2>Against an older run</h2>\n<div class='card'><p class='dim'>{}, commit {}, {}</p>",
                                 escape_html(against.path), escape_html(against.commit), escape_html(against.time_utc));
  if (!against.is_comparable()) {
    return text + "<p><strong>Not comparable.</strong> The two runs measured different things:</p>" + list(against.differences) +
           "</div>\n";
  }
  text += "<div class='scroll'><table><thead><tr><th>figure</th><th>old</th><th>new</th><th>new / old</th></tr></thead><tbody>\n";
  for (const Change& change : against.changes) text += change_row(change);
  text += "</tbody></table></div>";
  if (!against.cautions.empty()) text += "<p class='note'>Compare ratios to the floor, not times:</p>" + list(against.cautions);
  return text + "</div>\n";
}

std::string row(std::string_view label, std::string_view value) {
  return fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(label), escape_html(value));
}

std::string facts(std::string_view title, const std::string& rows) {
  return fmt::format("<div class='card'><h3>{}</h3><table class='facts'><tbody>{}</tbody></table></div>\n", title, rows);
}

std::string read_back(const Report& report) {
  if (!report.is_verified) return report.cut_short.empty() ? "not asked for" : "not done";
  return fmt::format("{} of {} entries as they were written", report.verified.entries, report.verified.written);
}

std::string run_rows(const Report& report) {
  const Options& options = report.options;
  const Run& run = report.run;
  std::string rows;
  rows += row("Load", fmt::format("{} client{}, each {} in flight, {} arrivals{}", options.clients,
                                  options.clients == 1 ? "" : "s", options.in_flight, name(run.arrivals),
                                  options.rate > 0 ? fmt::format(", {} a second wanted", options.rate) : ""));
  rows += row("Entries", fmt::format("{} B each, {:.1f} a packet", options.payload_bytes, run.entries_per_packet()));
  rows += row("Measured", fmt::format("{} appends in {:.1f} s, after {:.1f} s of warm-up", run.result.appended,
                                      run.result.seconds, run.result.warmup_seconds));
  rows += row("Errors", fmt::format("{} (resent {}, busy {}, dropped {}, elections {}, late sends {}, unsent {})",
                                    run.result.errors, run.counters.resent, run.counters.busy, run.packets_dropped, run.elections,
                                    run.result.late_sends, run.result.unsent));
  return rows + row("Read back", read_back(report));
}

std::string cluster_rows(const Report& report) {
  std::string rows = row("Cluster", fmt::format("{} replicas, {}", report.replicas, name(report.options.where)));
  rows += row("Acknowledged", "when a " + report.options.ack + " has it");
  rows +=
      row("Port", report.port) + row("Disk", report.device + ", " + durability(report)) + row("Cores used", report.cpu_layout);
  return rows;
}

std::string floor_table(const Floors& floors) {
  if (floors.wire.empty() && floors.device.empty()) return "";
  std::string text =
      "<div class='card'><h3>Floors, before and after the run</h3><table><thead><tr><th>method</th><th>p50</th><th>p99</th>"
      "<th>rounds</th></tr></thead><tbody>\n";
  const auto add = [&](const char* floor, const std::vector<FloorTime>& times) {
    for (const FloorTime& time : times) {
      text += fmt::format("<tr><td>{}: {}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", floor, escape_html(time.method),
                          short_time(time.p50_us), short_time(time.p99_us), short_number(static_cast<double>(time.rounds)));
    }
  };
  add("wire", floors.wire);
  add("disk", floors.device);
  return text + "</tbody></table></div>\n";
}

std::string section(const Report& report) {
  std::string text = banners(report) + hero(report);
  if (report.has_run()) text += tiles(report);
  if (!report.notes.empty()) text += "<div class='card'><h3>To judge the figures</h3>" + list(report.notes) + "</div>\n";
  if (report.against) text += against(*report.against);
  if (report.has_run()) text += "<h2>Charts</h2>\n" + charts(report);
  text += "<h2>How it was measured</h2>\n<div class='halves'>\n<div class='column'>";
  if (report.has_run()) text += facts("Run", run_rows(report));
  return text + facts("Cluster", cluster_rows(report)) + "</div>\n" + floor_table(report.floors) + "</div>\n";
}

std::string environment(const Environment& environment) {
  std::string rows[2];
  for (std::size_t i = 0; i < environment.size(); ++i)
    rows[i < (environment.size() + 1) / 2 ? 0 : 1] += row(environment[i].label, environment[i].value);
  return "<h2>Environment</h2>\n<div class='halves'>\n" + facts("Machine", rows[0]) + facts("Software", rows[1]) + "</div>\n";
}

// Of a sweep: each run in a line, with a link to its section.
std::string table_of_runs(std::span<const Report> reports) {
  std::string text =
      "<div class='card scroll'><table><thead><tr><th>run</th><th>ratio to floor</th><th>appends/s</th><th>p50</th><th>p99</th>"
      "<th>p99.99</th><th>errors</th></tr></thead><tbody>\n";
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const Report& report = reports[i];
    const Latency latency = latency_us(report.run.result.latency_ns);
    const auto ratio = report.ratio_to_floor();
    text += fmt::format(
        "<tr><td><a href='#run-{}'>{}</a>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", i + 1,
        escape_html(title_of(report)), report.cut_short.empty() ? "" : " (partial)",
        ratio ? fmt::format("{:.2f} \u00d7", *ratio) : "-", short_number(report.run.appends_per_second()),
        short_time(latency.p50), short_time(latency.p99), short_time(latency.p9999), report.run.result.errors);
  }
  return text + "</tbody></table></div>\n";
}

// JSON that stands inside a <script>: nothing in it may end that.
std::string embedded(std::string json) {
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos;) json.replace(at, 1, "\\u003c");
  return json;
}

}  // namespace

std::string to_html(std::span<const Report> reports) {
  const bool is_one = reports.size() == 1;
  const Environment none;
  const Environment& environment = reports.empty() ? none : reports.front().environment;
  const std::string title = "synod bench: " + (is_one ? title_of(reports.front()) : fmt::format("{} runs", reports.size()));
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'/>\n<meta name='viewport' "
      "content='width=device-width, "
      "initial-scale=1'/>\n<title>{0}</title>\n<style>\n{1}</style></head>\n<body>\n<header><h1>{0}</h1>"
      "<p class='dim'>{2} \u00b7 {3} \u00b7 commit {4}</p></header>\n",
      escape_html(title), page_style, escape_html(value_of(environment, "time_utc")), escape_html(value_of(environment, "cpu")),
      escape_html(commit));
  if (!is_one) page += table_of_runs(reports);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    if (!is_one)
      page += fmt::format("<h2 class='run-head' id='run-{}'>{}</h2>\n", i + 1,
                          escape_html(reports[i].name.empty() ? title_of(reports[i]) : reports[i].name));
    page += section(reports[i]);
  }
  page += bench::environment(environment);
  page += "<footer>All figures of this page are in it as JSON, in the element <code>report</code>.</footer>\n";
  page += "<script type='application/json' id='report'>\n" + embedded(to_json(reports)) + "\n</script>\n</body></html>\n";
  return page;
}

}  // namespace synod::bench
