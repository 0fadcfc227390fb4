#include "replica/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace synod::replica {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

constexpr std::array<Unit, 5> byte_units{
    {{"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}}};
constexpr std::array<Unit, 4> age_units{{{"s", 1}, {"m", 60}, {"h", 3'600}, {"d", 86'400}}};

// The configuration file's numbers are signed.
constexpr auto value_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

Result<std::uint64_t> parse(std::string_view text, std::span<const Unit> units, std::string_view example) {
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit_name(rest, text.data() + text.size());
  const auto unit = std::ranges::find(units, unit_name, &Unit::name);
  if (error != std::errc{} || unit == units.end() || number == 0 || number > value_max / unit->size) {
    std::string names;
    for (const Unit& known : units) names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    return fail(fmt::format("'{}' is not a number from 1 with a unit ({}): write for example \"{}\"", text, names, example));
  }
  return number * unit->size;
}

std::string text_of(std::uint64_t value, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value % unit.size == 0) best = &unit;
  }
  return fmt::format("{}{}", value / best->size, best->name);
}

}  // namespace

std::optional<Lsn> trim_for_retention(const RetentionOptions& options, const RetentionFacts& facts, Lsn trim) {
  std::uint64_t kept = 0;
  for (const SegmentFacts& segment : facts.segments) kept += segment.bytes;
  Lsn first = trim;
  // Segment i goes only as a whole, and its entries are no younger than the first block of segment i + 1: so the newest stays.
  for (std::size_t i = 0; i + 1 < facts.segments.size(); ++i) {
    const SegmentFacts& next = facts.segments[i + 1];
    kept -= facts.segments[i].bytes;
    const bool too_many = options.bytes && kept >= *options.bytes;
    const bool too_old = options.age_s && facts.now_s >= next.begun_s && facts.now_s - next.begun_s >= *options.age_s;
    if (!too_many && !too_old) break;
    first = std::max(first, next.first);
  }
  if (first == trim) return std::nullopt;
  return first;
}

Result<std::uint64_t> parse_byte_count(std::string_view text) {
  return parse(text, byte_units, "10GiB");
}

Result<std::uint64_t> parse_age_s(std::string_view text) {
  return parse(text, age_units, "7d");
}

std::string byte_count_text(std::uint64_t bytes) {
  return text_of(bytes, byte_units);
}

std::string age_text(std::uint64_t seconds) {
  return text_of(seconds, age_units);
}

}  // namespace synod::replica
