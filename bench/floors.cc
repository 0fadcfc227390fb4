#include "bench/floors.h"

#include "bench/floor_device.h"
#include "bench/floor_wire.h"
#include "bench/message_sizes.h"
#include "storage/layout.h"

namespace synod::bench {

namespace {

constexpr double wire_floor_seconds = 0.4;
constexpr double device_floor_seconds = 0.2;  // of each method

}  // namespace

std::optional<double> Floors::wire_us() const {
  return wire.empty() ? std::nullopt : std::optional(lowest_us(wire));
}

std::optional<double> Floors::device_us() const {
  if (diskless) return 0;
  return device.empty() ? std::nullopt : std::optional(lowest_us(device));
}

std::optional<double> Floors::total_us() const {
  const auto on_wire = wire_us();
  const auto on_device = device_us();
  if (!on_wire || !on_device || *on_wire + *on_device <= 0) return std::nullopt;
  return *on_wire + *on_device;
}

Result<> add_floors(Floors& floors, const Options& options, const CpuLayout& cpu, const std::string& directory) {
  const MessageSizes sizes = message_sizes(options.payload_bytes);
  if (options.where == Where::box) {
    auto wire = measure_wire_floor({.links = options.links(),
                                    .replicas = options.replicas,
                                    .sizes = sizes,
                                    .replica_core = cpu.replica_core,
                                    .client_core = cpu.client_core,
                                    .seconds = wire_floor_seconds});
    if (!wire) return std::unexpected(wire.error());
    floors.wire.push_back(*wire);
  }
  floors.diskless = options.diskless();
  if (directory.empty() || options.diskless()) return {};
  auto device = measure_device_floor({.directory = directory,
                                      .replicas = options.replicas,
                                      .write_bytes = storage::Geometry{}.block_bytes(sizes.record),
                                      .replica_core = cpu.replica_core,
                                      .seconds_per_method = device_floor_seconds});
  if (!device) return std::unexpected(device.error());
  floors.device.insert(floors.device.end(), device->methods.begin(), device->methods.end());
  floors.device_name = device->device;
  floors.device_stable = device->stable;
  return {};
}

}  // namespace synod::bench
