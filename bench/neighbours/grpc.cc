#include "bench/neighbours/grpc.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <array>

#include "dataplane/clock.h"
#include "replica/stop.h"

namespace synod::bench {

namespace {

constexpr std::size_t frame_bytes = 5;  // before a message: a flag, and its size
constexpr std::uint64_t ask_ns_max = 10'000'000'000;
constexpr std::int32_t window_bytes = 16 << 20;

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// nghttp2 takes what it does not change as not const: the one place where constness is dropped.
nghttp2_nv header(std::string_view name, std::string_view value) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  const auto bytes = [](std::string_view text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); };
  return {.name = bytes(name),
          .value = bytes(value),
          .namelen = name.size(),
          .valuelen = value.size(),
          .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

}  // namespace

std::optional<Bytes> grpc_message(Bytes body) {
  if (body.size() < frame_bytes || body[0] != std::byte{0}) return {};
  std::size_t size = 0;
  for (const std::byte byte : body.subspan(1, 4)) size = (size << 8U) | static_cast<std::size_t>(byte);
  if (body.size() - frame_bytes != size) return {};
  return body.subspan(frame_bytes);
}

struct GrpcChannel::Callbacks {
  static GrpcChannel& channel(void* user_data) { return *static_cast<GrpcChannel*>(user_data); }
  static Call* call_of(nghttp2_session* session, std::int32_t stream) {
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_bytes,
                       const std::uint8_t* value, std::size_t value_bytes, std::uint8_t /*flags*/, void* /*user*/) {
    Call* const call = call_of(session, frame->hd.stream_id);
    if (call != nullptr && text_of(name, name_bytes) == "grpc-status") call->is_ok = text_of(value, value_bytes) == "0";
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t /*flags*/, std::int32_t stream, const std::uint8_t* data,
                     std::size_t size, void* /*user*/) {
    Call* const call = call_of(session, stream);
    if (call == nullptr) return 0;
    if (size > answer_bytes_max - call->received.size()) return NGHTTP2_ERR_CALLBACK_FAILURE;
    const Bytes bytes = std::as_bytes(std::span(data, size));
    call->received.insert(call->received.end(), bytes.begin(), bytes.end());
    return 0;
  }

  static int on_close(nghttp2_session* session, std::int32_t stream, std::uint32_t error, void* user) {
    Call* const call = call_of(session, stream);
    if (call == nullptr) return 0;
    if (error != NGHTTP2_NO_ERROR) call->is_ok = false;
    channel(user).answered_.push_back(static_cast<std::uint32_t>(call - channel(user).calls_.data()));
    return 0;
  }

  static ssize_t read(nghttp2_session* /*session*/, std::int32_t /*stream*/, std::uint8_t* out, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source* source, void* /*user*/) {
    Call& call = *static_cast<Call*>(source->ptr);
    const Bytes rest = Bytes(call.sent).subspan(call.sent_bytes);
    const Bytes piece = rest.first(std::min(size, rest.size()));
    copy(std::as_writable_bytes(std::span(out, size)), piece);
    call.sent_bytes += piece.size();
    if (call.sent_bytes == call.sent.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(piece.size());
  }
};

Result<std::unique_ptr<GrpcChannel>> GrpcChannel::open(std::uint16_t port, std::size_t calls_max) {
  auto tcp = TcpConnection::open(port);
  if (!tcp) return std::unexpected(tcp.error());
  return std::unique_ptr<GrpcChannel>(new GrpcChannel(*std::move(tcp), port, calls_max));
}

GrpcChannel::GrpcChannel(TcpConnection tcp, std::uint16_t port, std::size_t calls_max)
    : tcp_(std::move(tcp)), authority_(fmt::format("127.0.0.1:{}", port)), calls_(calls_max) {
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  CHECK_EQ(nghttp2_session_client_new(&session_, callbacks, this), 0);
  nghttp2_session_callbacks_del(callbacks);
  const std::array settings{nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                            nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window_bytes}};
  CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()), 0);
  CHECK_EQ(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, window_bytes), 0);
}

GrpcChannel::~GrpcChannel() {
  nghttp2_session_del(session_);
}

void GrpcChannel::call(std::uint32_t slot, std::string_view path, Bytes message) {
  Call& call = calls_[slot];
  call.is_ok = false;
  call.sent_bytes = 0;
  call.received.clear();
  call.sent.assign(frame_bytes, std::byte{0});
  for (std::size_t i = 0; i < 4; ++i) call.sent[1 + i] = static_cast<std::byte>(message.size() >> (8 * (3 - i)));
  call.sent.insert(call.sent.end(), message.begin(), message.end());
  const std::array headers{header(":method", "POST"), header(":scheme", "http"),
                           header(":path", path),     header(":authority", authority_),
                           header("te", "trailers"),  header("content-type", "application/grpc")};
  const nghttp2_data_provider provider{.source = {.ptr = &call}, .read_callback = Callbacks::read};
  const auto stream = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &provider, &call);
  if (stream < 0) answered_.push_back(slot);  // no more streams, or no memory: not sent
}

Result<> GrpcChannel::send() {
  const std::uint8_t* data = nullptr;
  ssize_t size = 0;
  while ((size = nghttp2_session_mem_send(session_, &data)) > 0) {
    tcp_.put(std::as_bytes(std::span(data, static_cast<std::size_t>(size))));
  }
  if (size < 0) return fail(fmt::format("HTTP/2: {}", nghttp2_strerror(static_cast<int>(size))));
  return tcp_.flush();
}

Result<> GrpcChannel::turn(std::vector<GrpcAnswer>& answers) {
  if (auto sent = send(); !sent) return sent;
  const auto received = tcp_.receive();
  if (!received) return std::unexpected(received.error());
  if (!received->empty()) {
    const auto* const data = reinterpret_cast<const std::uint8_t*>(received->data());
    const ssize_t used = nghttp2_session_mem_recv(session_, data, received->size());
    if (used < 0) return fail(fmt::format("HTTP/2: {}", nghttp2_strerror(static_cast<int>(used))));
  }
  for (const std::uint32_t slot : answered_) {
    const Call& call = calls_[slot];
    const auto message = grpc_message(call.received);
    answers.push_back({.slot = slot, .is_ok = call.is_ok && message, .message = message.value_or(Bytes())});
  }
  answered_.clear();
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    return fail("the server ended the HTTP/2 session");
  }
  return {};
}

Result<Bytes> GrpcChannel::ask(std::string_view path, Bytes message) {
  call(0, path, message);
  std::vector<GrpcAnswer> answers;
  const std::uint64_t deadline_ns = dataplane::now_ns() + ask_ns_max;
  while (dataplane::now_ns() < deadline_ns && !replica::stop_requested) {
    if (auto turned = turn(answers); !turned) return std::unexpected(turned.error());
    if (answers.empty()) {
      tcp_.wait(10);
    } else if (answers.front().is_ok) {
      return answers.front().message;
    } else {
      return fail(fmt::format("{} was refused", path));
    }
  }
  return fail(fmt::format("{} was not answered", path));
}

}  // namespace synod::bench
