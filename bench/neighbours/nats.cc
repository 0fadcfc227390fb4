// NATS JetStream: a stream of three replicas in files, and a publication with an acknowledgement for every entry.
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/uuid.h"
#include "bench/neighbours/nats_protocol.h"
#include "bench/neighbours/neighbour.h"
#include "bench/neighbours/nodes.h"
#include "bench/neighbours/tcp.h"
#include "dataplane/clock.h"
#include "replica/stop.h"

namespace synod::bench {

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t ask_ns_max = 2'000'000'000;
constexpr std::string_view stream_config = R"({"name":"SYNOD","subjects":["synod.*"],"storage":"file","num_replicas":3})";

// Parts of an answer that need not be there, or what we think.
std::uint64_t number_at(const Json& json, const char* path) {
  const Json::json_pointer pointer(path);
  return json.contains(pointer) && json[pointer].is_number_unsigned() ? json[pointer].get<std::uint64_t>() : 0;
}
std::string text_at(const Json& json, const char* path) {
  const Json::json_pointer pointer(path);
  return json.contains(pointer) && json[pointer].is_string() ? json[pointer].get<std::string>() : "";
}
Json parse(Bytes text) {
  const auto* const begin = reinterpret_cast<const char*>(text.data());
  return Json::parse(begin, begin + text.size(), nullptr, false);
}

// A name that nobody else listens to.
std::string draw_inbox() {
  std::string inbox = "_INBOX.";
  for (const std::byte byte : draw_uuid().bytes) inbox += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return inbox;
}

// A client's socket: messages are answered to an inbox of its own.
class NatsConnection final : public Connection {
 public:
  explicit NatsConnection(TcpConnection tcp) : tcp_(std::move(tcp)), inbox_(draw_inbox()) {
    tcp_.put(R"(CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"c++","version":"1"})"
             "\r\n");
    tcp_.put(fmt::format("SUB {}.* 1\r\n", inbox_));
  }

  void send(EntryKey key, Bytes payload, std::uint32_t slot) override {
    publish(fmt::format("synod.{}", key.client), payload, slot);
  }

  Result<> turn(std::vector<Reply>& replies) override {
    return turn_with([&](std::uint32_t slot, Bytes payload) {
      const auto place = nats_place(payload);
      replies.push_back({.slot = slot, .is_appended = place.has_value(), .place = place.value_or(0)});
    });
  }
  [[nodiscard]] int fd() const override { return tcp_.fd(); }

  // A request, and the JSON of its answer.
  Result<Json> ask(std::string_view subject, std::string_view body) {
    publish(subject, bytes_of(body), 0);
    std::optional<Json> answer;
    const std::uint64_t deadline_ns = dataplane::now_ns() + ask_ns_max;
    while (dataplane::now_ns() < deadline_ns && !replica::stop_requested) {
      auto turned = turn_with([&](std::uint32_t /*slot*/, Bytes payload) { answer = parse(payload); });
      if (!turned) return std::unexpected(turned.error());
      if (!answer) {
        tcp_.wait(10);
        continue;
      }
      if (!answer->is_object()) return fail("nobody in JetStream answers yet");
      if (answer->contains("error")) return fail("JetStream says: " + text_at(*answer, "/error/description"));
      return *std::move(answer);
    }
    return fail("JetStream does not answer");
  }
  [[nodiscard]] const std::string& server_version() const { return server_version_; }

 private:
  void publish(std::string_view subject, Bytes payload, std::uint32_t slot) {
    line_.clear();
    fmt::format_to(std::back_inserter(line_), "PUB {} {}.{} {}\r\n", subject, inbox_, slot, payload.size());
    tcp_.put({line_.data(), line_.size()});
    tcp_.put(payload);
    tcp_.put("\r\n");
  }

  template <class OnMessage>
  Result<> turn_with(OnMessage&& on_message) {
    if (auto flushed = tcp_.flush(); !flushed) return flushed;
    const auto received = tcp_.receive();
    if (!received) return std::unexpected(received.error());
    if (received->empty()) return {};
    parser_.feed(*received);
    while (true) {
      const auto operation = parser_.next();
      if (!operation) return std::unexpected(operation.error());
      if (!*operation) return {};
      switch ((*operation)->kind) {
        case NatsOperation::Kind::message:
          if (const auto slot = nats_slot((*operation)->subject)) on_message(*slot, (*operation)->payload);
          break;
        case NatsOperation::Kind::info: server_version_ = text_at(parse((*operation)->payload), "/version"); break;
        case NatsOperation::Kind::ping: tcp_.put("PONG\r\n"); break;
        case NatsOperation::Kind::other: break;
      }
    }
  }

  TcpConnection tcp_;
  NatsParser parser_;
  std::string inbox_;
  fmt::memory_buffer line_;
  std::string server_version_;
};

class Nats final : public Neighbour {
 public:
  explicit Nats(std::string program) : program_(std::move(program)) {}

  Result<> start(const std::string& directory) override {
    if (auto prepared = nodes_.prepare(directory); !prepared) return prepared;
    for (std::size_t node = 0; node < Nodes::size; ++node) {
      const std::string config = nodes_.directory(node) + ".conf";
      std::ofstream file(config, std::ios::trunc);
      file << config_of(node);
      if (!file.flush()) return fail("cannot write " + config);
      if (auto started = nodes_.start(node, {program_, "-c", config}); !started) return started;
    }
    return nodes_.wait("stream of NATS", [this] { return make_stream(); });
  }
  [[nodiscard]] std::string version() const override { return version_; }
  [[nodiscard]] std::size_t leader() const override { return leader_; }

  Result<std::unique_ptr<Connection>> connect(std::size_t node, std::size_t /*in_flight*/) override { return open(node); }

  Result<std::uint64_t> count() override {
    const auto info = ask("$JS.API.STREAM.INFO.SYNOD", "");
    if (!info) return std::unexpected(info.error());
    return number_at(*info, "/state/messages");
  }

  Result<std::vector<std::byte>> read(EntryKey /*key*/, std::uint64_t place) override {
    const auto answer = ask("$JS.API.STREAM.MSG.GET.SYNOD", fmt::format(R"({{"seq":{}}})", place));
    if (!answer) return std::unexpected(answer.error());
    auto bytes = from_base64(text_at(*answer, "/message/data"));
    if (!bytes) return fail("JetStream sent what is no base64");
    return *std::move(bytes);
  }

 private:
  [[nodiscard]] std::string config_of(std::size_t node) const {
    std::string routes;
    for (std::size_t other = 0; other < Nodes::size; ++other) {
      if (other != node) routes += fmt::format("{}\"nats://127.0.0.1:{}\"", routes.empty() ? "" : ", ", nodes_.peer_port(other));
    }
    return fmt::format(
        "server_name: n{}\nlisten: 127.0.0.1:{}\njetstream {{ store_dir: \"{}\" }}\n"
        "cluster {{ name: synod, listen: 127.0.0.1:{}, routes: [{}] }}\n",
        node + 1, nodes_.client_port(node), nodes_.directory(node), nodes_.peer_port(node), routes);
  }

  Result<std::unique_ptr<NatsConnection>> open(std::size_t node) {
    auto tcp = TcpConnection::open(nodes_.client_port(node));
    if (!tcp) return std::unexpected(tcp.error());
    return std::make_unique<NatsConnection>(*std::move(tcp));
  }

  // Whether the stream is there (its creation may be asked for again and again), led, and replicated.
  bool make_stream() {
    const auto made = ask("$JS.API.STREAM.CREATE.SYNOD", stream_config);
    const auto info = made ? ask("$JS.API.STREAM.INFO.SYNOD", "") : made;
    const Json::json_pointer replicas("/cluster/replicas");
    if (!info || !info->contains(replicas) || !(*info)[replicas].is_array()) return false;
    const auto is_current = [](const Json& replica) { return replica.is_object() && replica.value("current", Json()) == true; };
    if (std::ranges::count_if((*info)[replicas], is_current) + 1 < static_cast<std::ptrdiff_t>(Nodes::size)) return false;
    const std::string leader = text_at(*info, "/cluster/leader");
    for (std::size_t node = 0; node < Nodes::size; ++node) {
      if (leader != fmt::format("n{}", node + 1)) continue;
      leader_ = node;
      version_ = control_.connection().server_version();
      return true;
    }
    return false;
  }

  // Asks any node that answers.
  Result<Json> ask(std::string_view subject, std::string_view body) {
    return control_.ask(
        leader_, [&](std::size_t node) { return open(node); },
        [&](NatsConnection& connection) { return connection.ask(subject, body); });
  }

  std::string program_;
  Nodes nodes_;
  std::size_t leader_ = 0;
  std::string version_;
  AnyNode<NatsConnection> control_;
};

}  // namespace

std::unique_ptr<Neighbour> make_nats(std::string program) {
  return std::make_unique<Nats>(std::move(program));
}

}  // namespace synod::bench
