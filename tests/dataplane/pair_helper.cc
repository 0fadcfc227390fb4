// One process of tests/dataplane/pair_test.cc: `pair_helper ping|echo server|client SOCKET`, until it is killed; with
// memif-server or memif-client, over that.
// `ping` writes one byte to its standard output whenever 100 more of its messages came back.
#include <cstdio>
#include <string>
#include <vector>

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

#include "dataplane/attach.h"
#include "dataplane/clock.h"
#include "dataplane/eal.h"
#include "dataplane/lcore.h"
#include "dataplane/messenger.h"

namespace {

using namespace synod;
using namespace synod::dataplane;

constexpr Endpoint ping_at{0x0A000001, 7400};
constexpr Endpoint echo_at{0x0A000002, 7400};

LocalIdentity identity(bool ping) {
  LocalIdentity local{ClusterId(1), GroupId(1), ReplicaId(ping ? 1 : 2), {}};
  local.incarnation.open_count = now_ns();
  return local;
}

wire::PacketHeader header_to(std::uint16_t replica) {
  wire::PacketHeader header;
  header.type = wire::MessageType::heartbeat;
  header.destination = ReplicaId(replica);
  return header;
}

void tell(char byte) {
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, &byte, 1);
}

[[noreturn]] void run_echo(Messenger& messenger) {
  Idler idler(IdlePolicy::yield);
  while (true) {
    const std::size_t packets =
        messenger.poll([&](const Message& message) { (void)messenger.send(message.from, header_to(1), message.payload); });
    messenger.flush();
    idler.idle(packets > 0);
  }
}

// One message in flight, of one packet or of several in turn; sent again after 5 ms of silence.
[[noreturn]] void run_ping(Messenger& messenger) {
  constexpr std::uint64_t resend_us = 5000;
  std::vector<std::byte> payload(20'000);
  Idler idler(IdlePolicy::yield);
  std::uint64_t sent_us = 0;
  for (std::uint64_t round = 1;;) {
    if (now_us() - sent_us > resend_us) {
      store(payload, round);
      (void)messenger.send({0, echo_at}, header_to(2), Bytes(payload).first(round % 10 == 0 ? payload.size() : 128));
      messenger.flush();
      sent_us = now_us();
    }
    const std::size_t packets = messenger.poll([&](const Message& message) {
      if (message.payload.size() < sizeof(round) || load<std::uint64_t>(message.payload) != round) return;
      if (round++ % 100 == 0) tell('.');
      sent_us = 0;
    });
    if (!messenger.refused().empty() && messenger.refused()[0] == Route{0, echo_at}) tell('!');
    idler.idle(packets > 0);
  }
}

std::unique_ptr<DpdkPort> open_pair(PairRole role, const std::string& socket, Endpoint local) {
  const auto task = AttachTask::start({.socket = socket, .role = role, .local = local});
  if (!task) return std::fprintf(stderr, "%s\n", task.error().text.c_str()), nullptr;
  std::unique_ptr<DpdkPort> port;
  for (Idler idler(IdlePolicy::sleep); port == nullptr; idler.idle(false)) port = (*task)->take();
  return port;
}

// A client that finds no server is refused: whoever starts it tries again.
std::unique_ptr<DpdkPort> open_memif(const std::string& role, const std::string& socket, Endpoint local) {
  const std::string device = std::string("net_memif0,role=").append(role).append(",socket=").append(socket);
  for (Idler idler(IdlePolicy::sleep);; idler.idle(false)) {
    auto port = DpdkPort::open({.device = device, .local = local});
    if (port) return *std::move(port);
    if (role == "server") return std::fprintf(stderr, "%s\n", port.error().text.c_str()), nullptr;
  }
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() != 4) return 2;
  const bool ping = arguments[1] == "ping";
  EalOptions eal;
  eal.huge_pages = false;
  eal.memory_mb = 128;
  if (const auto started = start_eal(eal); !started) return std::fprintf(stderr, "%s\n", started.error().text.c_str()), 1;
  const std::string& role = arguments[2];
  const Endpoint local = ping ? ping_at : echo_at;
  const std::unique_ptr<DpdkPort> port =
      role.starts_with("memif-") ? open_memif(role.substr(6), arguments[3], local)
                                 : open_pair(role == "server" ? PairRole::server : PairRole::client, arguments[3], local);
  if (port == nullptr) return 1;
  Messenger messenger(identity(ping), {});
  messenger.add_port(PortRef(*port));
  if (ping) run_ping(messenger);
  run_echo(messenger);
}

}  // namespace

int main(int count, char** values) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that dies leaves no process behind
  return run({values, values + count});
}
