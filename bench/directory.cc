#include "bench/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "storage/device_facts.h"
#include "storage/file.h"

namespace synod::bench {

namespace {

namespace fs = std::filesystem;

// Its presence says that everything beside it may be removed.
constexpr const char* marker = ".synod-bench";

Result<> put_marker(const std::string& directory) {
  const std::string path = (fs::path(directory) / marker).string();
  const storage::Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (file.fd() >= 0) return {};
  return fail(fmt::format("cannot write to {}: {}: choose another --data", directory, std::strerror(errno)));
}

bool can_be_durable(const std::string& directory) {
  const std::string path = (fs::path(directory) / marker).string();
  const storage::Descriptor file(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (file.fd() < 0) return false;
  const auto facts = storage::find_device_facts(file.fd(), path);
  return facts && !facts->is_memory && facts->has_direct;
}

std::vector<std::string> bases() {
  std::vector<std::string> found;
  if (const char* base = std::getenv("TMPDIR"); base != nullptr && *base != '\0') found.emplace_back(base);
  std::error_code ignored;
  found.push_back(fs::current_path(ignored).string());
  found.insert(found.end(), {"/var/tmp", "/tmp"});
  return found;
}

}  // namespace

Result<std::unique_ptr<Directory>> Directory::make(const std::string& path) {
  if (path.empty()) {
    for (const std::string& base : bases()) {
      std::string name = (fs::path(base) / "synod-bench-XXXXXX").string();
      if (::mkdtemp(name.data()) == nullptr) continue;
      std::unique_ptr<Directory> directory(new Directory(name, true));
      if (put_marker(name) && can_be_durable(name)) return directory;
    }
    return fail(
        "no disk found for a temporary directory ($TMPDIR, here, /var/tmp, /tmp): name one with --data, or use --data memory");
  }
  std::error_code error;
  const bool made = fs::create_directories(path, error);
  if (error) return fail(fmt::format("cannot create {}: {}", path, error.message()));
  const bool empty = fs::is_empty(path, error);
  if (error) return fail(fmt::format("cannot look into {}: {}", path, error.message()));
  if (!empty && !fs::exists(fs::path(path) / marker, error)) {
    return fail(fmt::format("{} is not empty: name an empty directory, for the bench removes what it writes", path));
  }
  if (auto marked = put_marker(path); !marked) return std::unexpected(marked.error());
  std::unique_ptr<Directory> directory(new Directory(path, made));
  directory->clear();
  return directory;
}

Directory::~Directory() {
  clear();
  std::error_code ignored;
  fs::remove(fs::path(path_) / marker, ignored);
  if (ours_) fs::remove(path_, ignored);
}

std::uint64_t Directory::free_bytes() const {
  std::error_code error;
  const fs::space_info space = fs::space(path_, error);
  return error ? 0 : space.available;
}

void Directory::clear() const {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, ignored)) {
    if (entry.path().filename() != marker) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace synod::bench
