#include "dataplane/attach.h"

#include <chrono>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/eal.h"

namespace synod::dataplane {

namespace {

using namespace std::chrono_literals;

constexpr unsigned queue_packets = 1024;

std::atomic<unsigned> devices_named = 0;

}  // namespace

DpdkPortOptions paired_device(const PairedPortOptions& options) {
  const unsigned number = devices_named++;
  DpdkPortOptions device;
  device.device =
      options.role == PairRole::server
          ? fmt::format("net_virtio_user{},path={},server=1,queues=1,queue_size={}", number, options.socket, queue_packets)
          : fmt::format("net_vhost{},iface={},client=1,queues=1", number, options.socket);
  device.local = options.local;
  device.mtu = options.mtu;
  device.packets = options.packets;
  device.point_to_point = true;
  device.descriptors = queue_packets;
  return device;
}

Result<std::unique_ptr<AttachTask>> AttachTask::start(const PairedPortOptions& options) {
  if (!eal_is_started()) return fail(fmt::format("{}: needs DPDK: start it first", options.socket));
  if (options.socket.size() >= sizeof(sockaddr_un::sun_path) || options.socket.find(',') != std::string::npos) {
    return fail(
        fmt::format("'{}' is no possible socket path: choose one of at most 107 characters without a comma", options.socket));
  }
  const std::filesystem::path directory = std::filesystem::absolute(options.socket).parent_path();
  if (::access(directory.c_str(), W_OK | X_OK) != 0) {
    return fail(fmt::format("cannot make a socket in {}: {}: create the directory, or choose another", directory.string(),
                            std::strerror(errno)));
  }
  // The queues of the server's side may hold all that fits into them: what is behind that is for sending.
  if (options.packets < std::size_t{3} * queue_packets) {
    return fail(fmt::format("{}: {} packet buffers are too few: give it {}", options.socket, options.packets, 3 * queue_packets));
  }
  std::unique_ptr<AttachTask> task(new AttachTask(options));
  task->thread_ = std::thread([self = task.get()] { self->run(); });
  return task;
}

namespace {

// DPDK starts its one vhost event thread at the first vhost device, after an unlocked look at whether it runs. Two devices opened
// at once start two, which free the same connection twice when a peer dies (DPDK 22.11, lib/vhost/socket.c,
// rte_vhost_driver_start; seen as a segfault of the survivors in the kill loop). Opening a client's half does not block.
Result<std::unique_ptr<DpdkPort>> open_half(const PairedPortOptions& options) {
  static std::mutex one_vhost_at_a_time;
  if (options.role == PairRole::server) {
    (void)::unlink(options.socket.c_str());
    return DpdkPort::open(paired_device(options));
  }
  const std::lock_guard lock(one_vhost_at_a_time);
  return DpdkPort::open(paired_device(options));
}

}  // namespace

void AttachTask::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    auto port = open_half(options_);
    lock.lock();
    if (port) {
      ready_.store(port->release(), std::memory_order_release);
      break;
    }
    last_error_ = port.error().text;  // the peer died while it shook hands, most likely
    if (!stop_) changed_.wait_for(lock, 100ms);
  }
  finished_ = true;
  changed_.notify_all();
}

void AttachTask::wake() const {
  if (options_.role != PairRole::server) return;
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, options_.socket.c_str(), options_.socket.size() + 1);
  (void)::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  ::close(descriptor);
}

AttachTask::~AttachTask() {
  {
    std::unique_lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
    // The socket may not be there yet, or a peer may be faster: so again, until the thread has seen it.
    while (!finished_) {
      lock.unlock();
      wake();
      lock.lock();
      changed_.wait_for(lock, 10ms, [this] { return finished_; });
    }
  }
  thread_.join();
  take().reset();
}

std::string AttachTask::last_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

}  // namespace synod::dataplane
