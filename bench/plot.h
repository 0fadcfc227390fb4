// Charts as SVG that stands inside an HTML page; how it looks is up to the page's style sheet (bench/page/style.css).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace synod::bench {

// For text from anywhere inside HTML, also inside attributes. Control characters are replaced.
[[nodiscard]] std::string escape_html(std::string_view text);

// 1234567 -> "1.23 M"; three digits.
[[nodiscard]] std::string short_number(double value);
// 1234 -> "1.23 ms"; three digits.
[[nodiscard]] std::string short_time(double us);

// Where a value lies between the ends of an axis.
struct Axis {
  double from = 0;
  double to = 1;
  bool is_log = false;
  std::string title;
  std::vector<std::pair<double, std::string>> ticks;

  // 0 at `from`, 1 at `to`; kept in between.
  [[nodiscard]] double place(double value) const;
};

using Label = std::function<std::string(double)>;

// From 0 to a round number that is at least `most`.
[[nodiscard]] Axis linear_axis(std::string title, double most, const Label& label);
// Around all values from `least` to `most`, both above 0.
[[nodiscard]] Axis log_axis(std::string title, double least, double most, const Label& label);

using Points = std::vector<std::pair<double, double>>;

// One chart. `style` is a class of the style sheet.
class Plot {
 public:
  // `name`: of the chart, for those who cannot see it.
  Plot(std::string_view name, Axis x, Axis y, double height = 300);

  void line(const Points& points, std::string_view style);
  void area(const Points& points, std::string_view style);
  // All across, at a value of the y axis, with a label on it.
  void level(double y, std::string_view label, std::string_view style);
  // From the bottom to `y`. `hint`: shown where the pointer rests.
  void bar(double x_from, double x_to, double y, std::string_view style, std::string_view hint);
  void dot(double x, double y, std::string_view style, std::string_view hint);
  // At the bottom: something happened there.
  void mark(double x, std::string_view style, std::string_view hint);

  [[nodiscard]] std::string svg() const { return svg_ + "</svg>\n"; }

 private:
  [[nodiscard]] double px_x(double x) const;
  [[nodiscard]] double px_y(double y) const;
  [[nodiscard]] double bottom() const;
  void draw_axes();

  Axis x_;
  Axis y_;
  double height_;
  std::string svg_;
};

}  // namespace synod::bench
