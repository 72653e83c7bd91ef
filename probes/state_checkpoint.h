// StateCheckpoint: what a run's cache held after some of its tokens, as bytes (engine/cache.h: save_states, save_keys),
// so that a re-run of later tokens can begin there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace orrery {

struct StateCheckpoint {
  int64_t step = 0;               // tokens processed: those of steps [0, step)
  std::vector<std::byte> states;  // constant in the length: states, windows
  // Keys and values of the tokens [keys_begin, step), where layers keep those of all; what comes before is in the
  // checkpoints before.
  int64_t keys_begin = 0;
  std::vector<std::byte> keys;
};

}  // namespace orrery
