// A message there and back over real ports, which may lose some.
#pragma once

#include "dataplane/clock.h"
#include "dataplane/lcore.h"
#include "tests/dataplane/messenger_fixture.h"

namespace synod::dataplane {

// From replica 1 (a) to replica 2 (b) at `to` and back, sent again until it has come back: the first packet to an unknown
// neighbour is lost, for example. The deadline only ends a test that has failed.
inline void expect_echo(Messenger& a, Messenger& b, Endpoint to, std::size_t bytes) {
  SCOPED_TRACE(bytes);
  const auto payload = random_bytes(bytes, bytes);
  const std::uint64_t id = a.fresh_message_id();
  bool back = false;
  std::uint64_t sent_us = 0;
  Idler idler(IdlePolicy::yield);
  for (const std::uint64_t end_us = now_us() + 20'000'000; !back && now_us() < end_us; idler.idle(false)) {
    if (now_us() - sent_us > 20'000) {
      (void)a.send({0, to}, header_to(2, id), payload);
      a.flush();
      sent_us = now_us();
    }
    b.poll([&](const Message& message) {
      if (message.header.message_id == id) (void)b.send(message.from, header_to(1, id), message.payload);
    });
    b.flush();
    a.poll([&](const Message& message) {
      if (message.header.message_id != id) return;
      back = true;
      EXPECT_TRUE(std::ranges::equal(message.payload, payload));
    });
  }
  EXPECT_TRUE(back);
}

}  // namespace synod::dataplane
