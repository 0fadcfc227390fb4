// Retention: what is let go when nobody trims.
#include "replica/retention.h"

#include <gtest/gtest.h>

#include <vector>

namespace synod::replica {
namespace {

constexpr std::uint64_t mib = 1 << 20;

// Four segments of 100 MiB that begin at LSN 0, 1000, 2000 and 3000, an hour apart; the last one is half full.
std::vector<SegmentFacts> segments() {
  return {{Lsn(0), 0, 100 * mib}, {Lsn(1'000), 3'600, 100 * mib}, {Lsn(2'000), 7'200, 100 * mib}, {Lsn(3'000), 10'800, 50 * mib}};
}

std::optional<Lsn> trim(const RetentionOptions& options, std::uint64_t now_s, Lsn trimmed = {},
                        const std::vector<SegmentFacts>& held = segments()) {
  return trim_for_retention(options, {now_s, held}, trimmed);
}

TEST(Retention, that_is_off_keeps_everything) {
  EXPECT_EQ(trim({}, 1'000'000'000), std::nullopt);
}

TEST(Retention, without_facts_keeps_everything) {
  EXPECT_EQ(trim_for_retention({.bytes = 1, .age_s = 1}, {}, Lsn(5)), std::nullopt);
}

TEST(Retention, by_size_keeps_at_least_the_newest_bytes) {
  EXPECT_EQ(trim({.bytes = 350 * mib}, 0), std::nullopt);
  EXPECT_EQ(trim({.bytes = 251 * mib}, 0), std::nullopt) << "without the first segment there would be a byte too few";
  EXPECT_EQ(trim({.bytes = 250 * mib}, 0), Lsn(1'000));
  EXPECT_EQ(trim({.bytes = 150 * mib}, 0), Lsn(2'000));
}

TEST(Retention, by_age_lets_a_segment_go_when_the_next_one_is_that_old) {
  EXPECT_EQ(trim({.age_s = 3'600}, 7'199), std::nullopt) << "the last entry of the first segment is younger than an hour";
  EXPECT_EQ(trim({.age_s = 3'600}, 7'200), Lsn(1'000));
  EXPECT_EQ(trim({.age_s = 3'600}, 12'000), Lsn(2'000));
}

TEST(Retention, never_lets_the_newest_segment_go) {
  EXPECT_EQ(trim({.bytes = 1}, 0), Lsn(3'000));
  EXPECT_EQ(trim({.age_s = 1}, 1'000'000'000), Lsn(3'000));
  EXPECT_EQ(trim({.bytes = 1, .age_s = 1}, 1'000'000'000, {}, {{Lsn(0), 0, 100 * mib}}), std::nullopt);
}

TEST(Retention, by_both_lets_go_what_either_does) {
  EXPECT_EQ(trim({.bytes = 250 * mib, .age_s = 3'600}, 12'000), Lsn(2'000));
  EXPECT_EQ(trim({.bytes = 150 * mib, .age_s = 3'600}, 7'200), Lsn(2'000));
}

TEST(Retention, says_nothing_when_the_log_is_trimmed_so_far_already) {
  EXPECT_EQ(trim({.bytes = 150 * mib}, 0, Lsn(2'000)), std::nullopt);
  EXPECT_EQ(trim({.bytes = 150 * mib}, 0, Lsn(2'500)), std::nullopt);
  EXPECT_EQ(trim({.bytes = 150 * mib}, 0, Lsn(1'999)), Lsn(2'000));
}

TEST(Retention, by_age_lets_nothing_go_while_the_clock_lies_before_the_log) {
  EXPECT_EQ(trim({.age_s = 1}, 0), std::nullopt);
}

TEST(Retention, reads_back_what_it_writes) {
  for (const std::uint64_t value : {std::uint64_t{1}, std::uint64_t{1'023}, 3 * mib, std::uint64_t{7} << 40}) {
    EXPECT_EQ(parse_byte_count(byte_count_text(value)).value(), value);
    EXPECT_EQ(parse_age_s(age_text(value)).value(), value);
  }
  EXPECT_EQ(byte_count_text(10ULL << 30), "10GiB");
  EXPECT_EQ(age_text(7 * 86'400), "7d");
}

}  // namespace
}  // namespace synod::replica
