#include "tests/scenario/trace.h"

#include <fmt/format.h>

#include <algorithm>

namespace synod::scenario {

namespace {

std::string sentence(const Names& names, const Event& event) {
  switch (event.what) {
    case What::sends: return fmt::format("sends {} to {}", event.text, names.list(event.others));
    case What::receives: return fmt::format("receives {} from {}", event.text, names.list(event.others));
    case What::loses: return fmt::format("never gets {} from {}", event.text, names.list(event.others));
    case What::refuses: return fmt::format("refuses {} from {}: another disk", event.text, names.list(event.others));
    case What::writes: return "writes " + event.text;
    case What::durable: return "durable " + event.text;
    case What::commits: return "commits " + event.text;
    case What::chosen: return fmt::format("{} by {}", event.text, names.list(event.others));
    default: return event.text;
  }
}

}  // namespace

void Trace::add(Event event) {
  if (event.what == What::sends && events_.size() > marked_) {
    Event& last = events_.back();
    if (last.what == What::sends && last.who == event.who && last.text == event.text && last.time_us == event.time_us) {
      last.others.insert(last.others.end(), event.others.begin(), event.others.end());
      return;
    }
  }
  events_.push_back(std::move(event));
}

std::string Trace::lines(const Names& names, std::size_t from) const {
  std::size_t width = 0;
  for (std::size_t place = 0; place < names.size(); ++place) width = std::max(width, names.replica(place).size());
  std::string lines;
  for (std::size_t i = from; i < events_.size(); ++i) {
    const Event& event = events_[i];
    if (event.hidden) continue;
    if (event.timed) lines += fmt::format("{:>6}.{} ms  ", event.time_us / 1000, event.time_us / 100 % 10);
    const std::string who = event.what == What::chosen ? std::string(width, '=') : names.replica(event.who);
    lines += fmt::format("{:<{}}  {}\n", who, width, sentence(names, event));
  }
  return lines;
}

}  // namespace synod::scenario
