// etcd: a Put of a key of its own for every entry, by gRPC, as native clients do.
#include <fmt/format.h>

#include "bench/neighbours/grpc.h"
#include "bench/neighbours/neighbour.h"
#include "bench/neighbours/nodes.h"
#include "bench/neighbours/protobuf.h"

namespace synod::bench {

namespace {

// The part of etcd's rpc.proto that is used.
constexpr std::string_view put_path = "/etcdserverpb.KV/Put";
constexpr std::string_view range_path = "/etcdserverpb.KV/Range";
constexpr std::string_view status_path = "/etcdserverpb.Maintenance/Status";
namespace response {
constexpr std::uint64_t header = 1;  // of every response
constexpr std::uint64_t header_member = 2;
constexpr std::uint64_t header_revision = 3;
constexpr std::uint64_t status_version = 2;
constexpr std::uint64_t status_leader = 4;
constexpr std::uint64_t range_kvs = 2;
constexpr std::uint64_t range_count = 4;
constexpr std::uint64_t kv_value = 5;
}  // namespace response
namespace request {
constexpr std::uint32_t put_key = 1;
constexpr std::uint32_t put_value = 2;
constexpr std::uint32_t range_key = 1;
constexpr std::uint32_t range_end = 2;
constexpr std::uint32_t range_count_only = 9;
}  // namespace request

// More than a bench writes: etcd stops taking writes at its quota of 2 GB by default.
constexpr std::string_view quota_bytes = "--quota-backend-bytes=34359738368";

constexpr std::string_view keys_begin = "synod/";
constexpr std::string_view keys_end = "synod0";  // behind all keys that begin so

std::string name_of(EntryKey key) {
  return fmt::format("{}{:02x}/{:012x}", keys_begin, key.client, key.number);
}

class EtcdConnection final : public Connection {
 public:
  explicit EtcdConnection(std::unique_ptr<GrpcChannel> channel) : channel_(std::move(channel)) {}

  void send(EntryKey key, Bytes payload, std::uint32_t slot) override {
    message_.clear();
    ProtobufWriter writer(message_);
    writer.put(request::put_key, bytes_of(name_of(key)));
    writer.put(request::put_value, payload);
    channel_->call(slot, put_path, message_);
  }

  Result<> turn(std::vector<Reply>& replies) override {
    answers_.clear();
    auto turned = channel_->turn(answers_);
    for (const GrpcAnswer& answer : answers_) {
      const Bytes header = ProtobufReader::find(answer.message, response::header).bytes;
      const std::uint64_t revision = ProtobufReader::find(header, response::header_revision).value;
      replies.push_back({.slot = answer.slot, .is_appended = answer.is_ok && revision > 0, .place = revision});
    }
    return turned;
  }
  [[nodiscard]] int fd() const override { return channel_->fd(); }

 private:
  std::unique_ptr<GrpcChannel> channel_;
  std::vector<std::byte> message_;
  std::vector<GrpcAnswer> answers_;
};

class Etcd final : public Neighbour {
 public:
  explicit Etcd(std::string program) : program_(std::move(program)) {}

  Result<> start(const std::string& directory) override {
    if (auto prepared = nodes_.prepare(directory); !prepared) return prepared;
    for (std::size_t node = 0; node < Nodes::size; ++node) {
      if (auto started = nodes_.start(node, command(node)); !started) return started;
    }
    return nodes_.wait("leader of etcd", [this] { return find_leader(); });
  }
  [[nodiscard]] std::string version() const override { return version_; }
  [[nodiscard]] std::size_t leader() const override { return leader_; }

  Result<std::unique_ptr<Connection>> connect(std::size_t node, std::size_t in_flight) override {
    auto channel = GrpcChannel::open(nodes_.client_port(node), in_flight);
    if (!channel) return std::unexpected(channel.error());
    return std::make_unique<EtcdConnection>(*std::move(channel));
  }

  Result<std::uint64_t> count() override {
    std::vector<std::byte> message;
    ProtobufWriter writer(message);
    writer.put(request::range_key, bytes_of(keys_begin));
    writer.put(request::range_end, bytes_of(keys_end));
    writer.put(request::range_count_only, 1);
    const auto answer = ask(range_path, message);
    if (!answer) return std::unexpected(answer.error());
    return ProtobufReader::find(*answer, response::range_count).value;
  }

  Result<std::vector<std::byte>> read(EntryKey key, std::uint64_t /*place*/) override {
    std::vector<std::byte> message;
    ProtobufWriter(message).put(request::range_key, bytes_of(name_of(key)));
    const auto answer = ask(range_path, message);
    if (!answer) return std::unexpected(answer.error());
    const Bytes pair = ProtobufReader::find(*answer, response::range_kvs).bytes;
    const Bytes value = ProtobufReader::find(pair, response::kv_value).bytes;
    return std::vector(value.begin(), value.end());
  }

 private:
  [[nodiscard]] std::string peer_url(std::size_t node) const {
    return fmt::format("http://127.0.0.1:{}", nodes_.peer_port(node));
  }

  [[nodiscard]] std::vector<std::string> command(std::size_t node) const {
    const std::string client = fmt::format("http://127.0.0.1:{}", nodes_.client_port(node));
    std::string members;
    for (std::size_t other = 0; other < Nodes::size; ++other) {
      members += fmt::format("{}n{}={}", other == 0 ? "" : ",", other + 1, peer_url(other));
    }
    return {program_,
            fmt::format("--name=n{}", node + 1),
            "--data-dir=" + nodes_.directory(node),
            "--listen-client-urls=" + client,
            "--advertise-client-urls=" + client,
            "--listen-peer-urls=" + peer_url(node),
            "--initial-advertise-peer-urls=" + peer_url(node),
            "--initial-cluster=" + members,
            "--initial-cluster-state=new",
            "--logger=zap",
            "--log-level=warn",
            std::string(quota_bytes)};
  }

  bool find_leader() {
    for (std::size_t node = 0; node < Nodes::size; ++node) {
      auto channel = GrpcChannel::open(nodes_.client_port(node), 1);
      if (!channel) return false;
      const auto status = (*channel)->ask(status_path, {});
      if (!status) return false;
      const Bytes header = ProtobufReader::find(*status, response::header).bytes;
      const std::uint64_t leader = ProtobufReader::find(*status, response::status_leader).value;
      if (leader == 0 || leader != ProtobufReader::find(header, response::header_member).value) continue;
      const Bytes version = ProtobufReader::find(*status, response::status_version).bytes;
      version_.assign(reinterpret_cast<const char*>(version.data()), version.size());
      leader_ = node;
      return true;
    }
    return false;
  }

  // Asks any node that answers.
  Result<Bytes> ask(std::string_view path, Bytes message) {
    return control_.ask(
        leader_, [&](std::size_t node) { return GrpcChannel::open(nodes_.client_port(node), 1); },
        [&](GrpcChannel& channel) { return channel.ask(path, message); });
  }

  std::string program_;
  Nodes nodes_;
  std::size_t leader_ = 0;
  std::string version_;
  AnyNode<GrpcChannel> control_;
};

}  // namespace

std::unique_ptr<Neighbour> make_etcd(std::string program) {
  return std::make_unique<Etcd>(std::move(program));
}

}  // namespace synod::bench
