// libFuzzer's way in, compiled once per target: FUZZ_FUNCTION names it.
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  orrery::testing::FUZZ_FUNCTION(std::as_bytes(std::span(data, size)));
  return 0;
}
