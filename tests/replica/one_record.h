// A replica's disk whose journal holds one record that a test made up: does a node start from it?
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "base/crc32c.h"
#include "replica/node.h"
#include "storage/memory_device.h"
#include "wire/cluster.h"

namespace synod::replica::test {

class OneRecord {
 public:
  static constexpr ReplicaId self{2};
  static constexpr std::array<ReplicaId, 3> three = {ReplicaId(1), ReplicaId(2), ReplicaId(3)};

  OneRecord() {
    EXPECT_TRUE(storage::format_memory(device_, {.cluster = cluster_, .replica = self, .members = 3}));
    disk_ = journal()->recovered().identity.disk;
  }

  [[nodiscard]] Uuid disk() const { return disk_; }

  // Journals the record, and says why a node does not start then; nothing if it starts.
  [[nodiscard]] std::string refusal(wire::RecordHeader header, Bytes body, std::span<const ReplicaId> members = three) {
    header.body_bytes = static_cast<std::uint32_t>(body.size());
    header.body_checksum = Checksum(crc32c(body));
    write(header, body);
    const auto node = Node::open({.cluster = cluster_,
                                  .group = {},
                                  .self = self,
                                  .configuration = consensus::Configuration(members),
                                  .timeouts = {},
                                  .journal = limits,
                                  .window_slots = 8},
                                 storage::DeviceRef(device_));
    return node ? "" : node.error().text;
  }

 private:
  static constexpr storage::JournalLimits limits = {
      .block_bytes_max = 64U << 10, .block_bytes_target = 16U << 10, .writes_in_flight = 4, .reads_in_flight = 4};

  std::unique_ptr<storage::Journal> journal() {
    auto opened = storage::Journal::open(storage::DeviceRef(device_), cluster_, self, limits, {});
    EXPECT_TRUE(opened);
    return *std::move(opened);
  }

  void write(const wire::RecordHeader& header, Bytes body) {
    const auto opened = journal();
    opened->stage(header, body);
    while (!opened->idle()) {
      opened->flush({});
      opened->submit();
      opened->poll([](const storage::ReadResult&) {});
    }
  }

  ClusterId cluster_ = wire::cluster_id("test");
  storage::MemoryDevice device_{16U << 20};
  Uuid disk_;
};

}  // namespace synod::replica::test
