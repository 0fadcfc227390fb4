// The revision that this was built from, for reports.
#pragma once

namespace synod::bench {

extern const char* const commit;

}  // namespace synod::bench
