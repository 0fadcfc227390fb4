#include "tests/scenario/diagram.h"

#include <fmt/format.h>

#include <algorithm>

namespace synod::scenario {

namespace {

constexpr std::size_t arrow_room = 8;

bool is_arrow(const Event& event) {
  return event.what == What::receives || event.what == What::loses;
}

bool is_drawn(const Event& event) {
  if (event.hidden) return false;
  switch (event.what) {
    case What::sends:
    case What::writes: return false;
    case What::durable: return !event.at_once;
    default: return true;
  }
}

std::string note_text(const Names& names, const Event& event) {
  switch (event.what) {
    case What::durable: return "durable: " + event.text;
    case What::commits: return "commits " + event.text;
    case What::refuses: return "refuses: another disk";
    case What::chosen: return event.text + " by " + names.list(event.others);
    default: return event.text;
  }
}

// The columns, and lines over them.
class TextDiagram {
 public:
  TextDiagram(const Names& names, std::span<const Event> events) : names_(names) {
    for (const Event& event : events) {
      if (!is_drawn(event)) continue;
      if (event.who == 0 && !is_arrow(event) && event.what != What::chosen)
        margin_ = std::max(margin_, note_text(names, event).size() / 2 + 1);
      if (!is_arrow(event)) continue;
      const std::size_t gaps = event.who > event.others[0] ? event.who - event.others[0] : event.others[0] - event.who;
      gap_ = std::max(gap_, (event.text.size() + arrow_room + gaps - 1) / gaps);
    }
    header();
    for (const Event& event : events) {
      if (is_drawn(event)) draw(event);
    }
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  [[nodiscard]] std::size_t column(std::size_t place) const { return margin_ + place * gap_; }

  [[nodiscard]] std::string bars() const {
    std::string line(column(names_.size() - 1) + 1, ' ');
    for (std::size_t place = 0; place < names_.size(); ++place) line[column(place)] = '|';
    return line;
  }

  void header() {
    std::string line;
    for (std::size_t place = 0; place < names_.size(); ++place) put(line, column(place), names_.replica(place));
    emit(line);
  }

  // Writes `what` centred at a column, over what is there.
  static void put(std::string& line, std::size_t centre, const std::string& what) {
    const std::size_t begin = centre >= what.size() / 2 ? centre - what.size() / 2 : 0;
    if (line.size() < begin + what.size()) line.resize(begin + what.size(), ' ');
    line.replace(begin, what.size(), what);
  }

  void emit(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    text_ += line + "\n";
  }

  void draw(const Event& event) {
    std::string line = bars();
    if (is_arrow(event)) {
      arrow(line, column(event.others[0]), column(event.who), event);
    } else if (event.what == What::chosen) {
      line = fmt::format("{:=^{}}", " " + note_text(names_, event) + " ", line.size());
    } else {
      put(line, column(event.who), "[" + note_text(names_, event) + "]");
    }
    emit(line);
  }

  static void arrow(std::string& line, std::size_t from, std::size_t to, const Event& event) {
    const bool is_lost = event.what == What::loses;
    const std::size_t left = std::min(from, to);
    const std::size_t right = std::max(from, to);
    for (std::size_t i = left + 1; i < right; ++i) line[i] = '-';
    if (from < to) {
      line[right - 1] = is_lost ? 'x' : '>';
    } else {
      line[left + 1] = is_lost ? 'x' : '<';
    }
    put(line, (left + right + 1) / 2, " " + event.text + " ");
  }

  const Names& names_;
  std::size_t margin_ = 0;  // left of the first column, for what is said in it
  std::size_t gap_ = 16;
  std::string text_;
};

}  // namespace

std::string text_diagram(const Names& names, std::span<const Event> events) {
  return TextDiagram(names, events).text();
}

std::string mermaid_diagram(const Names& names, std::span<const Event> events) {
  std::string text = "sequenceDiagram\n";
  for (std::size_t place = 0; place < names.size(); ++place) text += fmt::format("  participant {}\n", names.replica(place));
  for (const Event& event : events) {
    if (!is_drawn(event)) continue;
    if (is_arrow(event)) {
      text += fmt::format("  {}{}{}: {}\n", names.replica(event.others[0]), event.what == What::loses ? "-x" : "->>",
                          names.replica(event.who), event.text);
    } else if (event.what == What::chosen && names.size() > 1) {
      text += fmt::format("  Note over {},{}: {}\n", names.replica(0), names.replica(names.size() - 1), note_text(names, event));
    } else {
      text += fmt::format("  Note over {}: {}\n", names.replica(event.who), note_text(names, event));
    }
  }
  return text;
}

}  // namespace synod::scenario
