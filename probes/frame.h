// Frame: one probe over the steps [step_begin, step_end) of a run and over all its layers. The same object whether it
// comes from the engine, from a file, or from recomputation; views cannot tell but by `origin`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/base/check.h"
#include "probes/levels.h"
#include "probes/probe.h"
#include "probes/run_info.h"

namespace orrery {

struct StateCheckpoint;

enum class Origin : uint8_t { kLive, kRecorded, kRecomputed };
const char* origin_name(Origin origin);  // "live"

struct Frame {
  int64_t run = 1;
  const Probe* probe = nullptr;
  int32_t level = 0;       // 0: a row is a step; else a row is a cell of several steps, always float32: levels.h
  int64_t step_begin = 0;  // of a coarse level: multiples of its cells
  int64_t step_end = 0;
  std::vector<int32_t> layers;  // ascending layer ids along axis 1; empty where the probe has no layer axis
  std::vector<int32_t> heads;   // attention.row, state.row: the heads along the head axis; else empty (all)
  // [n_rows, n_layers, inner...] or [n_rows, inner...]; the key axes are as wide as the last step needs.
  std::vector<int64_t> shape;
  Origin origin = Origin::kLive;
  std::shared_ptr<const std::byte> payload;  // row major, probe->dtype; may share memory with other Frames
  size_t payload_bytes = 0;

  int64_t n_steps() const { return step_end - step_begin; }
  int64_t n_rows() const { return shape.empty() ? 0 : shape[0]; }  // as many as steps at level 0
  int64_t n_values() const {
    int64_t n = 1;
    for (const int64_t size : shape) n *= size;
    return n;
  }
  // Values of one row, [n_layers, inner...].
  int64_t values_per_step() const { return n_rows() == 0 ? 0 : n_values() / n_rows(); }
  template <typename T>
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(payload.get()), payload_bytes / sizeof(T)};
  }
  // The row that the step lies in.
  template <typename T>
  std::span<const T> step_values(int64_t step) const {
    DCHECK(step >= step_begin && step < step_end);
    const auto n = static_cast<size_t>(values_per_step());
    return values<T>().subspan(static_cast<size_t>((step - step_begin) / steps_per_cell(level)) * n, n);
  }
  // Index of a layer along axis 1, -1 where the frame lacks it.
  int64_t layer_index(int32_t layer) const;
};

// What one step (or prefill batch) publishes, all or none: the Frames of the steps that were processed, and tokens that
// became known, which may be ahead of the frames (a sampled token has no frame until it is fed back).
struct FrameBatch {
  int64_t run = 1;
  std::vector<Token> tokens;
  std::vector<Frame> frames;
  std::vector<RunEvent> events;
  int64_t lost_end = 0;  // one past the last step whose Frames a consumer lost before this batch; 0: none
  std::shared_ptr<const StateCheckpoint> checkpoint;  // of the run after these steps; mostly none
  size_t n_bytes = 0;                                 // payload bytes plus bookkeeping, for bounded rings

  void count_bytes();
};

// Rounds values to multiples of 2^-fraction_bits, ties to even. What is beyond 4, where float32 has fewer bits, or
// missing stays as it is. fraction_bits: 1 to 21.
void round_to_multiples(std::span<float> values, int fraction_bits);

// Cuts the packed buffer of a forward pass over steps [step_begin, step_begin + n_rows) into Frames that share one
// copy.
std::vector<Frame> cut_frames(const ProbeBuffer& buffer, const ModelConfig& config, int64_t run, int64_t step_begin);

}  // namespace orrery
