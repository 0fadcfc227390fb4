#include "replica/data.h"

#include "wire/cluster.h"

namespace synod::replica {

Result<Data> Data::open(const std::string& directory) {
  auto device = storage::open_directory(directory);
  if (!device) return std::unexpected(device.error());
  Data data;
  data.disk_ = *std::move(device);
  return data;
}

Result<Data> Data::make_memory(std::uint64_t bytes, const std::string& cluster, ReplicaId replica, std::uint16_t members,
                               bool touch, GroupId group) {
  Data data;
  data.memory_ = std::make_unique<storage::MemoryDevice>(bytes);
  if (touch) data.memory_->touch();
  const storage::MemoryFormat format{
      .cluster = wire::cluster_id(cluster), .group = group, .replica = replica, .members = members};
  if (auto formatted = storage::format_memory(*data.memory_, format); !formatted) return std::unexpected(formatted.error());
  return data;
}

}  // namespace synod::replica
