// Choosing among superblock copies.
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "storage/layout.h"

namespace synod::storage {

// The newest valid copy in the first superblock_copies device blocks. An error says whether the place is blank, foreign or
// damaged, and what to do.
[[nodiscard]] Result<Superblock> newest_superblock(Bytes copies);

}  // namespace synod::storage
