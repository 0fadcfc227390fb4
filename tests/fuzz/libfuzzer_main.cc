// libFuzzer's entry; its main comes with -fsanitize=fuzzer.
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)synod::fuzz::run(std::as_bytes(std::span(data, size)));
  return 0;
}
