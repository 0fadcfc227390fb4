// synod inspect: shows what lies in a data directory: the superblock, the segments, one entry's record.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "replica/audit.h"
#include "storage/block_reader.h"
#include "storage/journal_image.h"
#include "storage/superblock.h"
#include "wire/body.h"

namespace synod::cli {

namespace {

using nlohmann::json;

std::string uuid_of(const Uuid& uuid) {
  std::string text;
  for (const std::byte byte : uuid.bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

// One object as "name: value" lines, a list of objects as rows under their names.
void print_table(const json& shown) {
  const auto text = [](const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  if (shown.is_object()) {
    for (const auto& [key, value] : shown.items()) {
      if (!value.is_array()) fmt::print("{:<18}{}\n", key, text(value));
    }
    return;
  }
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (i == 0) {
      for (const auto& [key, value] : shown[0].items()) fmt::print("{:<14}", key);
      fmt::print("\n");
    }
    for (const auto& [key, value] : shown[i].items()) fmt::print("{:<14}", text(value));
    fmt::print("\n");
  }
}

json superblock_json(const storage::Superblock& superblock) {
  return {{"version", superblock.version},
          {"replica", superblock.replica.value()},
          {"group", superblock.group},
          {"members", superblock.members},
          {"number", superblock.number},
          {"cluster", fmt::format("{:016x}", superblock.cluster.value())},
          {"disk", uuid_of(superblock.disk)},
          {"open_count", superblock.open_count},
          {"durable", superblock.durable_sequence},
          {"segment_bytes", superblock.segment_bytes},
          {"segments", superblock.segments}};
}

class Inspect {
 public:
  std::string data;
  std::string format = "table";
  bool live = false;
  std::string lsn;

  int run(const std::string& what) {
    const auto image = storage::JournalImage::open(data, live);
    if (!image) return failed(image.error().text);
    storage::ImageDevice device(*image);
    const storage::DeviceRef ref(device);
    const auto superblock = replica::read_superblock(ref);
    if (!superblock) return failed(superblock.error().text);
    const auto show = [&]() -> Result<json> {
      if (what == "superblock") return copies(ref, *superblock);
      if (what == "segments") return segments(ref, *superblock);
      return record(*image, *superblock);
    };
    const Result<json> shown = show();
    if (!shown) return failed(shown.error().text);
    if (format == "json") {
      fmt::print("{}\n", shown->dump());
    } else {
      print_table(*shown);
    }
    return finish_output(exit_done);
  }

 private:
  static Result<json> copies(storage::DeviceRef device, const storage::Superblock& superblock) {
    json shown = superblock_json(superblock);
    storage::AlignedBuffer block(storage::device_block_bytes);
    for (std::uint32_t i = 0; i < storage::superblock_copies; ++i) {
      const std::uint64_t at = std::uint64_t{i} * storage::device_block_bytes;
      const std::string key = fmt::format("copy_{}", i);
      if (!storage::read_now(device, at, block.bytes())) {
        shown[key] = "unreadable";
        continue;
      }
      const auto copy = storage::decode_superblock(block.bytes());
      shown[key] = copy ? fmt::format("valid, number {}", copy->number) : std::string(storage::name(copy.error()));
    }
    return shown;
  }

  static Result<json> segments(storage::DeviceRef device, const storage::Superblock& superblock) {
    const storage::Geometry geometry = storage::geometry_of(superblock);
    const storage::Survey survey = storage::Survey::of(device, superblock);
    json rows = json::array();
    for (std::uint32_t i = 0; i < geometry.segments; ++i) {
      const auto& head = survey.heads()[i];
      const auto field = [&](auto&& of) { return head ? json(of(*head)) : json("-"); };
      rows.push_back({{"segment", i},
                      {"offset", geometry.start_of(i)},
                      {"generation", field([](const auto& h) { return h.generation; })},
                      {"sequence", field([](const auto& h) { return h.sequence; })},
                      {"open_count", field([](const auto& h) { return h.open_count; })},
                      {"written_s", field([](const auto& h) { return h.written_s; })},
                      {"commit", field([](const auto& h) { return h.commit.value(); })},
                      {"highest", field([](const auto& h) { return h.highest.value(); })},
                      {"checkpoint", field([](const auto& h) { return h.checkpoint_sequence; })},
                      {"first_needed", field([](const auto& h) { return h.first_segment; })}});
    }
    return rows;
  }

  [[nodiscard]] Result<json> record(const storage::JournalImage& image, const storage::Superblock& superblock) const {
    std::uint64_t wanted = 0;
    std::from_chars(lsn.data(), lsn.data() + lsn.size(), wanted);
    storage::ImageDevice stream(image);
    storage::ImageDevice random(image);
    replica::StoredIndex index{storage::DeviceRef(stream), storage::DeviceRef(random), superblock};
    const auto slot = slot_of(index, Lsn(wanted));
    if (!slot) return std::unexpected(slot.error());
    const replica::IndexEntry entry = *index.entry_of(*slot);
    const auto found = index.record_at(entry.offset, entry.bytes);
    if (!found)
      return fail(
          fmt::format("LSN {} lies in slot {}, whose record at offset {} cannot be read", wanted, slot->value(), entry.offset));
    const auto body = wire::BodyView::decode(found->body);
    if (!body)
      return fail(fmt::format("the record of slot {} is no batch of entries ({})", slot->value(), wire::name(body.error())));
    json shown = {{"lsn", wanted},
                  {"slot", slot->value()},
                  {"first_lsn", entry.base.value()},
                  {"offset", entry.offset},
                  {"bytes", entry.bytes},
                  {"kind", found->header.kind == wire::RecordKind::chosen ? "chosen" : "accepted"},
                  {"ballot", fmt::format("{}.{}", found->header.ballot.round(), found->header.ballot.replica().value())},
                  {"checksum", fmt::format("{:08x}", found->header.body_checksum.value())},
                  {"entries", body->header().entries},
                  {"runs", json::array()}};
    body->for_each_run([&](const wire::RunView& run) {
      shown["runs"].push_back({{"session", run.header.session.value()},
                               {"first", run.header.first.value()},
                               {"entries", run.header.entries},
                               {"bytes", run.header.bytes},
                               {"kind", run.header.kind == wire::RunKind::entries ? "entries" : "open_session"}});
    });
    return shown;
  }

  // The last slot of a page that begins at or below an LSN.
  static std::optional<Slot> last_slot(replica::StoredIndex& index, std::uint64_t page, Lsn lsn) {
    std::optional<Slot> found;
    for (std::uint64_t place = 0; place < replica::index_page_slots; ++place) {
      const Slot slot = replica::first_of_page(page) + place;
      const auto entry = index.entry_of(slot);
      if (!entry) break;
      if (entry->base <= lsn) found = slot;
    }
    return found;
  }

  static bool holds(replica::StoredIndex& index, Slot slot, Lsn lsn) {
    const auto entry = index.entry_of(slot);
    const auto record = index.record_at(entry->offset, entry->bytes);
    const auto body = record ? wire::BodyView::decode(record->body) : std::unexpected(wire::BodyFault::too_short);
    return body && lsn < entry->base + body->header().entries;
  }

  // The slot whose entries hold this LSN: the last one that begins at or below it.
  static Result<Slot> slot_of(replica::StoredIndex& index, Lsn lsn) {
    if (!index.end()) return std::unexpected(index.end().error());
    const bool has_open_page =
        index.checkpoint() && !index.checkpoint()->entries.empty() && !index.directory().contains(index.pages());
    std::uint64_t low = index.directory().empty() ? index.first_page() : index.directory().begin()->first;
    std::uint64_t high = index.pages() + (has_open_page ? 1 : 0);
    const auto base_of_page = [&](std::uint64_t page) {
      return index.directory().contains(page) ? index.directory().at(page).base : index.checkpoint()->header.page_base;
    };
    if (low == high) return fail("the journal has no slot index yet: the entries can only be read through a replica");
    if (lsn < base_of_page(low)) return fail(fmt::format("LSN {} is trimmed", lsn.value()));
    while (high - low > 1) {
      const std::uint64_t middle = low + (high - low) / 2;
      (base_of_page(middle) <= lsn ? low : high) = middle;
    }
    const auto found = last_slot(index, low, lsn);
    if (!found) return fail(fmt::format("the index page of LSN {} cannot be read", lsn.value()));
    const bool is_last_page = low + 1 == index.pages() + (has_open_page ? 1 : 0);
    const bool is_covered = !is_last_page || (has_open_page && lsn < index.checkpoint()->header.tail);
    if (!is_covered && !holds(index, *found, lsn)) {
      return fail(fmt::format("LSN {} lies behind the slot index, which a replica writes as it goes on", lsn.value()));
    }
    return *found;
  }
};

}  // namespace

void add_inspect(CLI::App& app, Body& body) {
  CLI::App* const command = app.add_subcommand("inspect", "show what lies in a data directory (or a copy of one)");
  command->require_subcommand(1);
  static Inspect options;  // lives as long as the application that refers to it
  const std::array<std::pair<const char*, const char*>, 3> shown = {
      {{"superblock", "the disk's identity and the superblock's copies"},
       {"segments", "the first block of each segment"},
       {"record", "where an entry lies, and in which batch"}}};
  for (const auto& [what, text] : shown) {
    CLI::App* const part = command->add_subcommand(what, text);
    if (std::string(what) == "record") part->add_option("lsn", options.lsn, "the entry's LSN")->required()->check(check_lsn);
    part->add_option("--data", options.data, "the data directory, or a raw block device")->required();
    part->add_flag("--live", options.live, "read it although a replica runs there");
    add_format_option(*part, options.format);
    part->final_callback([&body, name = std::string(what)] { body = [name] { return options.run(name); }; });
  }
}

}  // namespace synod::cli
