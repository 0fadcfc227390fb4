#include "dataplane/eal.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/lcore.h"

namespace synod::dataplane {

namespace {

std::atomic<bool> started = false;

// The first line that DPDK logs. Its threads write here too.
class Complaint {
 public:
  static ssize_t write(void* self, const char* text, std::size_t bytes) {
    auto* complaint = static_cast<Complaint*>(self);
    const std::lock_guard lock(complaint->mutex_);
    for (std::size_t i = 0; i < bytes && !complaint->whole_; ++i) {
      if (text[i] == '\n')
        complaint->whole_ = !complaint->line_.empty();
      else
        complaint->line_.push_back(text[i]);
    }
    return static_cast<ssize_t>(bytes);
  }
  std::string take() {
    const std::lock_guard lock(mutex_);
    const std::string text = line_.empty() ? "" : " [" + line_ + "]";
    line_.clear();
    whole_ = false;
    return text;
  }

 private:
  std::mutex mutex_;
  std::string line_;
  bool whole_ = false;
};

Complaint& complaint() {
  static auto* const forever = new Complaint;  // DPDK's threads may log until the process is gone
  return *forever;
}

// What the libraries beneath net_af_xdp print at every port, if they are here.
void silence(const char* library, const char* set_print) {
  void* const handle = ::dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return;
  using SetPrint = void* (*)(void*);
  if (auto* const set = reinterpret_cast<SetPrint>(::dlsym(handle, set_print)); set != nullptr) (void)set(nullptr);
  ::dlclose(handle);
}

void redirect_log() {
  cookie_io_functions_t functions{};
  functions.write = Complaint::write;
  std::FILE* stream = ::fopencookie(&complaint(), "w", functions);
  if (stream == nullptr) return;
  std::setvbuf(stream, nullptr, _IONBF, 0);
  (void)rte_openlog_stream(stream);
}

// vhost and virtio-user write to the sockets of peers that may just have died.
void ignore_broken_pipes() {
  struct sigaction action{};
  if (::sigaction(SIGPIPE, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) return;
  action.sa_handler = SIG_IGN;
  (void)::sigaction(SIGPIPE, &action, nullptr);
}

// True if that much memory can be had in huge pages without any mount or privilege, as --in-memory takes it.
bool huge_pages_are_free(std::size_t memory_mb) {
  constexpr std::size_t huge_page_bytes = 2U << 20;
  const std::size_t bytes = (memory_mb << 20) / huge_page_bytes * huge_page_bytes;
  const int file = ::memfd_create("synod-probe", MFD_CLOEXEC | MFD_HUGETLB);
  if (file < 0) return false;
  const bool reserved = bytes > 0 && ::fallocate(file, 0, 0, static_cast<off_t>(bytes)) == 0;
  ::close(file);
  return reserved;
}

// DPDK creates its runtime directory whatever it is told; it gets one of its own, which is empty again after the start.
class PrivateRuntimeDirectory {
 public:
  PrivateRuntimeDirectory() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/synod-eal-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
    if (const char* value = std::getenv("RUNTIME_DIRECTORY"); value != nullptr) previous_ = value;
    if (!path_.empty()) ::setenv("RUNTIME_DIRECTORY", path_.c_str(), 1);
  }
  ~PrivateRuntimeDirectory() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    if (previous_.empty())
      ::unsetenv("RUNTIME_DIRECTORY");
    else
      ::setenv("RUNTIME_DIRECTORY", previous_.c_str(), 1);
  }
  PrivateRuntimeDirectory(const PrivateRuntimeDirectory&) = delete;
  PrivateRuntimeDirectory& operator=(const PrivateRuntimeDirectory&) = delete;
  [[nodiscard]] bool usable() const { return !path_.empty(); }

 private:
  std::string path_;
  std::string previous_;
};

// DPDK has 128 places for threads and does not notice that one has ended.
struct Registration {
  Registration() = default;
  ~Registration() {
    if (active) rte_thread_unregister();
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  bool active = false;
};
thread_local Registration registration;

std::vector<std::string> arguments_for(const EalOptions& options, bool huge) {
  std::vector<unsigned> cores = options.cores;
  if (cores.empty()) cores = {allowed_cores().empty() ? 0 : allowed_cores().front()};
  std::vector<std::string> arguments = {"synod", "--no-telemetry", "--no-shconf"};
  arguments.push_back(fmt::format("--lcores={}", fmt::join(cores, ",")));
  arguments.push_back("--main-lcore=" + std::to_string(cores.front()));
  arguments.push_back("--file-prefix=synod_" + std::to_string(::getpid()));
  arguments.emplace_back(options.verbose ? "--log-level=*:info" : "--log-level=*:error");
  arguments.insert(arguments.end(), {"-m", std::to_string(options.memory_mb)});
  // Other processes of a pair map our memory: few file descriptors must stand for all of it.
  if (huge)
    arguments.insert(arguments.end(), {"--in-memory", "--single-file-segments"});
  else
    arguments.emplace_back("--no-huge");
  // A NIC says itself which addresses it can be given: without an IOMMU before it only physical ones.
  if (options.pci_devices.empty()) arguments.insert(arguments.end(), {"--no-pci", "--iova-mode=va"});
  for (const std::string& address : options.pci_devices) arguments.insert(arguments.end(), {"-a", address});
  return arguments;
}

}  // namespace

Result<> start_eal(const EalOptions& options) {
  if (started) return {};
  ignore_broken_pipes();
  if (!options.verbose) redirect_log();
  const PrivateRuntimeDirectory directory;
  if (!directory.usable()) return fail("cannot create a directory in /tmp for DPDK: set TMPDIR to one that you may write");
  const bool huge = options.huge_pages && huge_pages_are_free(options.memory_mb);
  std::vector<std::string> arguments = arguments_for(options, huge);
  std::vector<char*> pointers;
  pointers.reserve(arguments.size());
  for (std::string& argument : arguments) pointers.push_back(argument.data());

  cpu_set_t affinity;
  const bool has_affinity = ::pthread_getaffinity_np(::pthread_self(), sizeof(affinity), &affinity) == 0;
  (void)take_eal_complaint();
  const int used = rte_eal_init(static_cast<int>(pointers.size()), pointers.data());
  if (has_affinity) (void)::pthread_setaffinity_np(::pthread_self(), sizeof(affinity), &affinity);
  if (used < 0) {
    return fail(fmt::format("cannot start DPDK: {}{}: check the cores and the memory ({} MiB{}) that it was given",
                            rte_strerror(rte_errno), take_eal_complaint(), options.memory_mb, huge ? " of huge pages" : ""));
  }
  if (!options.verbose) {
    silence("libbpf.so.1", "libbpf_set_print");
    silence("libxdp.so.1", "libxdp_set_print");
  }
  started = true;
  return {};
}

bool eal_is_started() {
  return started;
}

bool eal_has_huge_pages() {
  return started && rte_eal_has_hugepages() != 0;
}

Result<> register_polling_thread() {
  if (rte_lcore_id() != LCORE_ID_ANY) return {};
  registration.active = rte_thread_register() == 0;
  if (registration.active) return {};
  return fail(fmt::format("cannot register a polling thread with DPDK: {}: run fewer of them", rte_strerror(rte_errno)));
}

std::string take_eal_complaint() {
  return complaint().take();
}

}  // namespace synod::dataplane
