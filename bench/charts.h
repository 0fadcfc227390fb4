// The charts of a report, each a <figure> of the HTML page; empty where there is nothing to draw.
#pragma once

#include <string>

#include "bench/report.h"

namespace synod::bench {

[[nodiscard]] std::string percentile_chart(const Report& report);
[[nodiscard]] std::string histogram_chart(const Report& report);
[[nodiscard]] std::string throughput_chart(const Report& report);
[[nodiscard]] std::string longest_chart(const Report& report);
[[nodiscard]] std::string ladder_chart(const Report& report);
[[nodiscard]] std::string ladder_curves_chart(const Report& report);
[[nodiscard]] std::string stage_chart(const Report& report);

}  // namespace synod::bench
