#include "base/uuid.h"

#include <sys/random.h>
#include <sys/types.h>

#include <cerrno>

#include "base/check.h"

namespace synod {

Uuid draw_uuid() {
  Uuid uuid;
  while (uuid.is_none()) {
    const ssize_t drawn = ::getrandom(uuid.bytes.data(), uuid.bytes.size(), 0);
    if (drawn < 0 && errno == EINTR) continue;                 // a signal came before the kernel's generator was seeded
    CHECK_EQ(drawn, static_cast<ssize_t>(uuid.bytes.size()));  // the kernel never returns less than 256 bytes
  }
  return uuid;
}

}  // namespace synod
