// Fresh uuids (control path).
#pragma once

#include "base/ids.h"

namespace synod {

// A random uuid from the kernel, never the empty one.
[[nodiscard]] Uuid draw_uuid();

}  // namespace synod
