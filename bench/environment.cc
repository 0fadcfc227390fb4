#include "bench/environment.h"

#include <fmt/format.h>
#include <rte_version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <optional>
#include <set>

#include "bench/commit.h"
#include "dataplane/lcore.h"

namespace synod::bench {

namespace {

constexpr std::size_t lines_max = 1000;

std::string trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(blank) - begin + 1));
}

// The first line of a file, which may be empty; nothing where there is no such file.
std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string line;
  std::getline(file, line);
  return trimmed(line);
}

// What stands behind "KEY:" in a file of such lines, e.g. /proc/cpuinfo.
std::optional<std::string> value_in(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  for (std::size_t i = 0; i < lines_max && std::getline(file, line); ++i) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && trimmed(std::string_view(line).substr(0, colon)) == key)
      return trimmed(line.substr(colon + 1));
  }
  return std::nullopt;
}

std::string or_unknown(const std::optional<std::string>& value) {
  return value && !value->empty() ? *value : std::string(unknown);
}

std::string cpu(const std::string& root) {
  const std::string path = root + "/proc/cpuinfo";
  const auto model = value_in(path, "model name");
  return or_unknown(model ? model : value_in(path, "Processor"));
}

std::string cores() {
  return fmt::format("{} allowed of {}", dataplane::allowed_cores().size(), ::sysconf(_SC_NPROCESSORS_ONLN));
}

std::string kernel() {
  utsname names{};
  return ::uname(&names) == 0 ? fmt::format("{} {} {}", names.sysname, names.release, names.machine) : std::string(unknown);
}

// The processor tells its guests that there is a hypervisor; the firmware often tells which.
std::string hypervisor(const std::string& root) {
  const auto flags = value_in(root + "/proc/cpuinfo", "flags");
  if (!flags) return std::string(unknown);
  if ((" " + *flags + " ").find(" hypervisor ") == std::string::npos) return "none";
  std::string kind;
  for (const char* const path : {"/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/product_name", "/sys/hypervisor/type"}) {
    const auto part = first_line(root + path);
    if (part && !part->empty()) kind += (kind.empty() ? "" : " ") + *part;
  }
  return kind.empty() ? "yes, of unknown kind" : kind;
}

std::string governor(const std::string& root) {
  std::set<std::string> governors;
  for (const unsigned core : dataplane::allowed_cores()) {
    const auto one = first_line(fmt::format("{}/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor", root, core));
    if (one) governors.insert(*one);
  }
  return governors.empty() ? std::string(unknown) : fmt::format("{}", fmt::join(governors, ", "));
}

std::string turbo(const std::string& root) {
  if (const auto off = first_line(root + "/sys/devices/system/cpu/intel_pstate/no_turbo")) return *off == "1" ? "off" : "on";
  if (const auto on = first_line(root + "/sys/devices/system/cpu/cpufreq/boost")) return *on == "1" ? "on" : "off";
  return std::string(unknown);
}

std::string isolated(const std::string& root) {
  const auto cores = first_line(root + "/sys/devices/system/cpu/isolated");
  if (!cores) return std::string(unknown);
  return cores->empty() ? "none" : *cores;
}

std::string huge_pages(const std::string& root) {
  const auto total = value_in(root + "/proc/meminfo", "HugePages_Total");
  const auto size = value_in(root + "/proc/meminfo", "Hugepagesize");
  if (!total) return std::string(unknown);
  return *total == "0" ? "none" : fmt::format("{} of {}", *total, or_unknown(size));
}

std::string time_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::string text(sizeof "2026-01-01T00:00:00Z", '\0');
  text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
  return text;
}

std::string compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace

Environment read_environment(const std::string& root) {
  return {{.key = "cpu", .label = "CPU", .value = cpu(root)},
          {.key = "cores", .label = "Cores", .value = cores()},
          {.key = "isolated", .label = "Isolated cores", .value = isolated(root)},
          {.key = "governor", .label = "Governor", .value = governor(root)},
          {.key = "turbo", .label = "Turbo", .value = turbo(root)},
          {.key = "huge_pages", .label = "Huge pages", .value = huge_pages(root)},
          {.key = "hypervisor", .label = "Hypervisor", .value = hypervisor(root)},
          {.key = "kernel", .label = "Kernel", .value = kernel()},
          {.key = "dpdk", .label = "DPDK", .value = trimmed(::rte_version())},
          {.key = "liburing", .label = "liburing", .value = SYNOD_LIBURING_VERSION},
          {.key = "compiler", .label = "Compiler", .value = trimmed(compiler())},
          {.key = "build", .label = "Build", .value = SYNOD_BUILD_TYPE},
          {.key = "commit", .label = "Commit", .value = commit},
          {.key = "time_utc", .label = "Time", .value = time_utc()}};
}

std::string_view value_of(const Environment& environment, std::string_view key) {
  const auto fact = std::ranges::find(environment, key, &Fact::key);
  return fact == environment.end() ? unknown : std::string_view(fact->value);
}

}  // namespace synod::bench
