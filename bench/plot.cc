#include "bench/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace synod::bench {

namespace {

// In units of the drawing, which is scaled to the page.
constexpr double width = 560;
constexpr double left = 62;
constexpr double right = 14;
constexpr double top = 24;  // the title of the y axis stands there
constexpr double below = 44;

std::string three_digits(double value) {
  const double size = std::abs(value);
  int decimals = 2;
  if (size >= 9.995) decimals = 1;
  if (size >= 99.95) decimals = 0;
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

// 1, 2 or 5 times a power of ten: at least `value`.
double round_up(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (power * factor >= value * (1 - 1e-9)) return power * factor;
  }
  return power * 10;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c >= '\0' && c < ' ' && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return escaped;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 999.5e6) return three_digits(value / 1e9) + " G";
  if (size >= 999.5e3) return three_digits(value / 1e6) + " M";
  if (size >= 999.5) return three_digits(value / 1e3) + " k";
  return three_digits(value);
}

std::string short_time(double us) {
  if (us >= 999.5e3) return three_digits(us / 1e6) + " s";
  if (us >= 999.5) return three_digits(us / 1e3) + " ms";
  if (us > 0 && us < 0.0995) return three_digits(us * 1e3) + " ns";
  return three_digits(us) + " \u00b5s";
}

double Axis::place(double value) const {
  const double share = is_log ? std::log(std::max(value, from) / from) / std::log(to / from) : (value - from) / (to - from);
  return std::clamp(share, 0.0, 1.0);
}

Axis linear_axis(std::string title, double most, const Label& label) {
  constexpr double ticks = 5;
  const double step = round_up(std::max(most, 1e-9) / ticks);
  const auto steps = static_cast<int>(std::ceil(std::max(most, 1e-9) / step - 1e-9));
  Axis axis{.to = step * steps, .title = std::move(title)};
  for (int i = 0; i <= steps; ++i) axis.ticks.emplace_back(step * i, label(step * i));
  return axis;
}

Axis log_axis(std::string title, double least, double most, const Label& label) {
  constexpr double few_decades = 2.2;
  const double decades = std::log10(most / least);
  Axis axis{.from = least / 1.2, .to = most * 1.2, .is_log = true, .title = std::move(title)};
  const std::vector<double> factors = decades < few_decades ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
  const auto first = static_cast<int>(std::floor(std::log10(axis.from)));
  const auto last = static_cast<int>(std::floor(std::log10(axis.to)));
  for (int decade = first; decade <= last; ++decade) {
    for (const double factor : factors) {
      const double value = std::pow(10, decade) * factor;
      if (value >= axis.from && value <= axis.to) axis.ticks.emplace_back(value, label(value));
    }
  }
  return axis;
}

Plot::Plot(std::string_view name, Axis x, Axis y, double height) : x_(std::move(x)), y_(std::move(y)), height_(height) {
  svg_ = fmt::format("<svg class='plot' role='img' aria-label='{}' viewBox='0 0 {} {}'>\n", escape_html(name), width, height_);
  draw_axes();
}

double Plot::px_x(double x) const {
  return left + x_.place(x) * (width - left - right);
}

double Plot::px_y(double y) const {
  return bottom() - y_.place(y) * (bottom() - top);
}

double Plot::bottom() const {
  return height_ - below;
}

void Plot::draw_axes() {
  for (const auto& [value, label] : y_.ticks) {
    const double y = px_y(value);
    svg_ += fmt::format("<line class='grid' x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}'/>", left, width - right, y, y);
    svg_ +=
        fmt::format("<text class='tick' text-anchor='end' x='{}' y='{:.1f}'>{}</text>\n", left - 7, y + 4, escape_html(label));
  }
  for (const auto& [value, label] : x_.ticks) {
    const double x = px_x(value);
    svg_ += fmt::format("<line class='grid' x1='{:.1f}' x2='{:.1f}' y1='{}' y2='{}'/>", x, x, top, bottom() + 4);
    svg_ += fmt::format("<text class='tick' text-anchor='middle' x='{:.1f}' y='{}'>{}</text>\n", x, bottom() + 18,
                        escape_html(label));
  }
  svg_ += fmt::format("<line class='axis' x1='{}' x2='{}' y1='{}' y2='{}'/>\n", left, width - right, bottom(), bottom());
  svg_ += fmt::format("<text class='name' text-anchor='end' x='{}' y='{}'>{}</text>\n", width - right, height_ - 6,
                      escape_html(x_.title));
  svg_ += fmt::format("<text class='name' x='4' y='13'>{}</text>\n", escape_html(y_.title));
}

void Plot::line(const Points& points, std::string_view style) {
  svg_ += fmt::format("<polyline class='line {}' points='", style);
  for (const auto& [x, y] : points) svg_ += fmt::format("{:.1f},{:.1f} ", px_x(x), px_y(y));
  svg_ += "'/>\n";
}

void Plot::area(const Points& points, std::string_view style) {
  if (points.empty()) return;
  svg_ += fmt::format("<polygon class='area {}' points='{:.1f},{} ", style, px_x(points.front().first), bottom());
  for (const auto& [x, y] : points) svg_ += fmt::format("{:.1f},{:.1f} ", px_x(x), px_y(y));
  svg_ += fmt::format("{:.1f},{}'/>\n", px_x(points.back().first), bottom());
}

void Plot::level(double y, std::string_view label, std::string_view style) {
  constexpr double text_height = 18;
  const bool fits_below = px_y(y) + text_height < bottom();
  svg_ += fmt::format("<line class='line {}' x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}'/>", style, left, width - right, px_y(y),
                      px_y(y));
  svg_ += fmt::format("<text class='label {}' text-anchor='end' x='{}' y='{:.1f}'>{}</text>\n", style, width - right - 4,
                      px_y(y) + (fits_below ? 15 : -6), escape_html(label));
}

void Plot::bar(double x_from, double x_to, double y, std::string_view style, std::string_view hint) {
  const double from = px_x(x_from);
  svg_ += fmt::format("<rect class='bar {}' x='{:.2f}' width='{:.2f}' y='{:.1f}' height='{:.1f}'><title>{}</title></rect>\n",
                      style, from, std::max(px_x(x_to) - from - 0.4, 0.4), px_y(y), bottom() - px_y(y), escape_html(hint));
}

void Plot::dot(double x, double y, std::string_view style, std::string_view hint) {
  svg_ += fmt::format("<circle class='dot {}' cx='{:.1f}' cy='{:.1f}' r='4'><title>{}</title></circle>\n", style, px_x(x),
                      px_y(y), escape_html(hint));
}

void Plot::mark(double x, std::string_view style, std::string_view hint) {
  constexpr double size = 10;
  svg_ += fmt::format("<rect class='bar {}' x='{:.1f}' width='3' y='{}' height='{}'><title>{}</title></rect>\n", style,
                      px_x(x) - 1.5, bottom() - size, size, escape_html(hint));
}

}  // namespace synod::bench
