// A fuzzer as an ordinary test, without libFuzzer: its examples, everything it ever found, and random changes of both.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/prng.h"
#include "tests/fuzz/fuzz.h"
#include "tests/seed.h"

namespace synod::fuzz {
namespace {

constexpr const char* found_directory = FUZZ_FOUND;
constexpr std::uint64_t changes_to_try = FUZZ_CHANGES;

// What a CHECK that fails must tell: which input it was. Written by a signal handler.
std::array<char, 200> now_running;

void tell_input(int signal) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, now_running.data(), std::strlen(now_running.data()));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void say_running(const std::string& what) {
  now_running.fill('\0');
  std::copy_n(what.begin(), std::min(what.size(), now_running.size() - 1), now_running.begin());
}

std::vector<std::pair<std::string, Example>> found() {
  std::vector<std::pair<std::string, Example>> all;
  if (!std::filesystem::exists(found_directory)) return all;
  for (const auto& entry : std::filesystem::directory_iterator(found_directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const Bytes bytes = bytes_of(std::string_view(text));
    all.emplace_back(entry.path().filename().string(), Example(bytes.begin(), bytes.end()));
  }
  return all;
}

// One small change: a byte, a bit, a telling number, a cut, a piece doubled, a piece of another example.
void change(Prng& prng, Example& bytes, const Example& other) {
  static constexpr std::uint32_t numbers[] = {0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF};
  const std::size_t at = bytes.empty() ? 0 : prng.below(bytes.size());
  const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (prng.below(6)) {
    case 0:
      if (!bytes.empty()) bytes[at] = static_cast<std::byte>(prng.next());
      break;
    case 1:
      if (!bytes.empty()) bytes[at] ^= static_cast<std::byte>(1U << prng.below(8));
      break;
    case 2:
      if (bytes.size() - at >= 4) store(MutableBytes(bytes).subspan(at), numbers[prng.below(std::size(numbers))]);
      break;
    case 3: bytes.resize(at); break;
    case 4: {
      const Example piece(place,
                          place + static_cast<std::ptrdiff_t>(prng.below(std::min<std::size_t>(bytes.size() - at, 64) + 1)));
      bytes.insert(place, piece.begin(), piece.end());
      break;
    }
    default: {
      const std::size_t from = prng.below(other.size() + 1);
      bytes.resize(at);
      put_bytes(bytes, Bytes(other).subspan(from));
      break;
    }
  }
}

class Fuzzer : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) {
      const auto before = std::signal(signal, tell_input);
      if (before != SIG_DFL) std::signal(signal, before);  // a sanitizer's, which tells more
    }
  }
};

TEST_F(Fuzzer, takes_every_example) {
  const auto all = examples();
  ASSERT_FALSE(all.empty());
  for (std::size_t i = 0; i < all.size(); ++i) {
    say_running("example " + std::to_string(i) + "\n");
    EXPECT_TRUE(run(all[i])) << "example " << i << " is refused at the door: it tests nothing";
  }
}

TEST_F(Fuzzer, survives_what_was_ever_found) {
  for (const auto& [name, input] : found()) {
    say_running("tests/fuzz/found: " + name + "\n");
    (void)run(input);
  }
}

TEST_F(Fuzzer, RandomChangesOfTheExamplesBreakNothing) {
  auto all = examples();
  for (auto& [name, input] : found()) all.push_back(std::move(input));
  const std::uint64_t first = first_seed();
  std::uint64_t taken = 0;
  for (std::uint64_t seed = first; seed < first + changes_to_try; ++seed) {
    say_running("replay with SYNOD_TEST_SEED=" + std::to_string(seed) + "\n");
    Prng prng(seed);
    Example input = all[prng.below(all.size())];
    for (std::uint64_t changes = prng.between(1, 4); changes > 0; --changes) change(prng, input, all[prng.below(all.size())]);
    input.shrink_to_fit();  // so that a sanitizer sees one byte too far
    taken += run(input) ? 1 : 0;
  }
  EXPECT_GT(taken, changes_to_try / 100) << "the changes are too heavy to test what lies behind the gateways";
}

}  // namespace
}  // namespace synod::fuzz
