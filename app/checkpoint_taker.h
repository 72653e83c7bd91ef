// CheckpointTaker: when a run in progress keeps what its cache holds, so that a re-run of later steps can begin there
// instead of at the first token; and how many bytes that may take.
//
// What is kept is whole: recurrent and convolution states, token shifts, fast weights and the windows of windowed
// layers, which are constant in the length, and of layers that attend to everything the keys and values since the
// checkpoint before. The former are what a pure state-space model or a model of windows and recurrences needs, and cost
// the same at any length. The latter cost as much a token as the cache itself, again and again, so a hybrid with full
// attention only has checkpoints within spans of level full, while the keys of the whole run stay within 256 MiB;
// without its keys a checkpoint would be of no use, and none is written.
//
// Bytes of the states and of a token's keys, by the models' shapes with caches in f16, and what follows:
//   Mamba-2-130M         19.5 MB    none      standard: every 4,800 tokens (4.0 kB a token)   full: every 128
//   Granite-4.0-350M-H   23 MB      4.1 kB    full: every 128
//   LFM2-350M            0.15 MB    12.3 kB   full: every 64
//   Gemma-3-270M         7.9 MB     3.1 kB    full: every 64
//   SmolLM2-135M         none       23.0 kB   full: every 64
// Measured on recordings at level full of 160 tokens with two checkpoints: Gemma-3-270M 2.8 of 8.6 MiB,
// SmolLM2-135M 2.5 of 21 MiB; recomputing five steps from the checkpoint 8 tokens before them takes half to a quarter
// of the time, which is that of opening the model. Engine thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/cache.h"
#include "kernels/base/result.h"
#include "probes/state_checkpoint.h"
#include "probes/tap_mask.h"

namespace orrery {

inline constexpr int64_t kStandardCheckpointBytes = int64_t{4} << 10;  // a token, at most
inline constexpr int64_t kFullCheckpointBytes = int64_t{256} << 10;    // a token of a span at level full
inline constexpr int64_t kMostKeyBytes = int64_t{256} << 20;           // a run
inline constexpr int64_t kMostStateBytes = int64_t{256} << 20;         // a checkpoint
inline constexpr int64_t kLeastStandardSteps = 256;
inline constexpr int64_t kLeastFullSteps = 64;

// Steps from one checkpoint to the next at a level, multiples of 64; 0: none are taken.
int64_t checkpoint_distance(Level level, int64_t n_state_bytes, bool keeps_all_keys);

class CheckpointTaker {
 public:
  // After each pass of a run whose steps are recorded at `level`: a checkpoint where one is due, else null. Errors: of
  // the backend.
  Result<std::shared_ptr<const StateCheckpoint>> take(const Cache& cache, Level level);
  // The run begins from a cache of this many tokens, of which nothing was kept here.
  void begin_at(int64_t n_tokens) { last_ = n_tokens; }

 private:
  int64_t last_ = 0;      // tokens at the last one
  int64_t keys_end_ = 0;  // of the keys that were kept
  int64_t n_key_bytes_ = 0;
};

}  // namespace orrery
