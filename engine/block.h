// Block: a layer, mostly a Mixer and a FeedForward with norms and residuals around them. A model is a list of Blocks; a
// hybrid, of different ones.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "engine/cache.h"
#include "engine/config.h"
#include "engine/probe_plan.h"
#include "engine/workspace.h"
#include "kernels/state_rows.h"

namespace orrery {

// The rows of one forward pass: row r is tokens[r] at positions[r] of the sequence caches[sequences[r]]. Rows of one
// sequence stand one after the other, in order of position, and continue its cache.
struct Batch {
  std::span<const int32_t> tokens;
  std::span<const int64_t> positions;
  std::span<const int32_t> sequences;
  std::span<Cache* const> caches;
  // Tokens of the longest sequence once all that is fed together is in: for rotations that depend on it.
  int64_t length = 0;

  int64_t n_rows() const { return static_cast<int64_t>(tokens.size()); }
  // Rows [begin, begin + count) as a batch of their own.
  Batch rows(int64_t begin, int64_t count) const {
    const auto first = static_cast<size_t>(begin), n = static_cast<size_t>(count);
    return {.tokens = tokens.subspan(first, n),
            .positions = positions.subspan(first, n),
            .sequences = sequences.subspan(first, n),
            .caches = caches,
            .length = length};
  }
};

// What a block needs besides its input.
struct Step {
  Backend& backend;
  Workspace& workspace;
  const Batch& batch;
  const ProbeBuffer& probes;
  int32_t layer = 0;         // the visit, in the model's unrolled layers
  int32_t iteration = 0;     // of the loop that the layer is in
  int32_t n_iterations = 1;  // of that loop
  // [n_rows, ModelParts::carried_width] what a layer leaves for later ones of the pass, beside the stream (RWKV-7's
  // first values).
  Matrix<float> carried = {};
};

// The rows of each sequence of the batch, with the memory of a state that this layer keeps, constant in the length.
std::vector<StateRows> state_rows(const Step& step, StateKind kind);

class Mixer {
 public:
  virtual ~Mixer() = default;
  virtual std::vector<StateSpec> describe_state(DType kv_dtype) const = 0;
  // out [n_rows, d_model] = mixer(x [n_rows, d_model]); updates the rows' caches.
  virtual void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const = 0;
  // The same without its output: what later rows see of these is brought up to date, and no more need be computed.
  virtual void remember(const Step& step, Matrix<const float> x) const;
};

class FeedForward {
 public:
  virtual ~FeedForward() = default;
  virtual void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const = 0;
};

class Block {
 public:
  virtual ~Block() = default;
  // x [n_rows, d_model]: the residual stream, updated in place.
  virtual void forward(const Step& step, Matrix<float> x) const = 0;
  // Rows pass this layer by: its states take in x [n_rows, d_model] as the layer's first part sees it, and x stays. For
  // tokens that have left a loop.
  virtual void remember(const Step& step, Matrix<const float> x) const;
  virtual std::vector<StateSpec> describe_state(DType kv_dtype) const = 0;
};

}  // namespace orrery
