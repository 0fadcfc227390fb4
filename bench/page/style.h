// The style sheet of the HTML report: style.css, carried in the program.
#pragma once

namespace synod::bench {

extern const char* const page_style;

}  // namespace synod::bench
