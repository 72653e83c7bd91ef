// ChunkPacker: gathers the Frames of one run by probe and decides when they become chunks. Recorder's thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/result.h"
#include "probes/frame.h"
#include "probes/levels.h"
#include "sessions/chunk_codec.h"
#include "sessions/session_store.h"

namespace orrery {

// Raw bytes that make a chunk of the target size (16 to 256 KiB compressed): between these, by how well the probe
// compresses.
inline constexpr size_t kSealBytes = size_t{160} << 10;
inline constexpr size_t kMaxSealBytes = size_t{1} << 20;

class ChunkPacker {
 public:
  ChunkPacker(SessionStore& store, int64_t run) : store_(store), run_(run) {}

  // Copies the rows, and those of the coarse levels that they complete; writes full chunks as they fill (a transaction
  // must be open). kInvalidArgument where the frame's shape does not fit its probe, or where it repeats steps.
  Result<void> add(const Frame& frame);
  // Before the first frame of a run that goes on: what LevelBuilder::resume says.
  void resume_levels(const Frame& means, const Frame& maxima) { levels_[means.probe].resume(means, maxima); }
  // Writes what was added since the last flush as small chunks; cells of coarse levels only every 16th time, as what a
  // kill takes of them is read from the steps.
  Result<void> flush();
  // Writes the rest, replacing the small chunks of each probe by one.
  Result<void> seal();

 private:
  // The steps of one probe that are not in a chunk of full size yet.
  struct Tail {
    ChunkForm form;
    int64_t step_begin = 0;
    int64_t step_end = 0;
    int64_t flushed_end = 0;   // [step_begin, flushed_end) is in small chunks
    size_t flushed_bytes = 0;  // of raw
    std::vector<std::byte> raw;
    size_t seal_bytes = kSealBytes;  // adapted to the probe's ratio
  };
  Result<void> add_rows(const Frame& frame);
  Result<void> seal_tail(Tail& tail, int32_t level);
  // Returns the compressed size.
  Result<size_t> write(int32_t level, const ChunkForm& form, int64_t begin, int64_t end,
                       std::span<const std::byte> raw);

  SessionStore& store_;
  const int64_t run_;
  std::map<std::pair<const Probe*, int32_t>, Tail> tails_;  // by probe and level
  std::map<const Probe*, LevelBuilder> levels_;
  int64_t n_flushes_ = 0;
  ChunkEncoder encoder_;
};

}  // namespace orrery
