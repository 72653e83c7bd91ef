// Generator: feeds tokens of one sequence through a model, measuring what a ProbePlan asks for. Engine thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/block.h"
#include "engine/cache.h"
#include "engine/cache_trail.h"
#include "engine/layer_stack.h"
#include "engine/looped_pass.h"
#include "engine/model.h"
#include "engine/probe_plan.h"
#include "engine/workspace.h"
#include "kernels/base/result.h"

namespace orrery {

enum class LogitsWanted : uint8_t { kNone, kLast, kAll };

class Generator {
 public:
  // kv_dtype: kF16 or kF32.
  Generator(std::shared_ptr<const Model> model, DType kv_dtype);
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  const Model& model() const { return *model_; }
  const std::shared_ptr<const Model>& shared_model() const { return model_; }
  DType kv_dtype() const { return kv_dtype_; }
  int64_t length() const { return cache_.length(); }

  // Processes `tokens` as the next positions, in one batch. The logits of the rows wanted ([1, vocab] or [n, vocab])
  // stay valid, in the host's memory, until the next call; what `plan` asks for is in probes(). Errors: an id outside
  // the vocabulary, out of memory; the sequence is then as before. The model's context is not a bound: callers say when
  // a text goes beyond.
  Result<Matrix<const float>> feed(std::span<const int32_t> tokens, const ProbePlan& plan, LogitsWanted wanted);

  // One token, to see what happens up to a layer: those behind it are left out (but in a model with a loop), nothing is
  // said, and the sequence stays as it was.
  Result<void> look_at(int32_t token, const ProbePlan& plan, int32_t last_layer);

  // What the last feed() or look_at() measured: rows are its tokens.
  const ProbeBuffer& probes() const { return probes_; }

  // What is fed from here on makes the sequence at least `length` tokens long: a prompt that goes through in several
  // batches then turns as it would in one, where the rotation depends on the length (dynamic NTK, LongRoPE).
  void announce(int64_t length) { announced_length_ = length; }

  // Starts an empty sequence.
  void reset();

  // From the next reset() on, so much is kept that the sequence can be taken up again near any of its positions: pages
  // that left windows, or forks of the states, within max_bytes.
  void keep_past(size_t max_bytes) { past_bytes_ = max_bytes; }
  // A cache of this sequence that holds at most `length` of its first tokens, as many as can be had without computing.
  Result<Cache> past(int64_t length) const;
  // Goes on from there: a cache of this model, of the same cache type.
  void take_up(Cache cache) { cache_ = std::move(cache); }
  const Cache& cache() const { return cache_; }
  // Starts a sequence of `length` tokens out of what Cache::save_states and save_keys gave; an empty one where that
  // fails.
  Result<void> restore(int64_t length, std::span<const std::byte> states, std::span<const Cache::SavedKeys> keys);

  // Most rows that feed() takes at once with this plan if scratch and packed statistics are to stay below max_bytes.
  int64_t rows_within(const ProbePlan& plan, int64_t position, int64_t most, size_t max_bytes) const;

 private:
  Result<void> check_tokens(std::span<const int32_t> tokens) const;
  Result<void> make_room(int64_t n_rows, const ProbePlan& plan, LogitsWanted wanted);
  int64_t scratch_bytes(int64_t n_rows) const;
  // From the tokens to what the last layer gives.
  Result<void> run_layers(const Batch& batch, Matrix<float> residual);
  // Fills logits_ and returns how many rows of it.
  int64_t compute_output(Matrix<const float> residual, LogitsWanted wanted);
  // Statistics of the logits of rows that start at row `first` of the batch.
  void fill_output_stats(Matrix<const float> logits, int64_t first);
  void fill_cache_probes(std::span<const int64_t> positions);
  // loop.*, once finish() has brought what the loop was measured by.
  void fill_loop_probes(int64_t n_rows);

  std::shared_ptr<const Model> model_;
  DType kv_dtype_;
  std::vector<LayerState> states_;
  Cache cache_;
  CacheTrail trail_;
  size_t past_bytes_ = 0;
  int32_t end_layer_ = 0;  // of a pass that is cut short; 0: all layers
  int64_t announced_length_ = 0;
  Workspace workspace_;
  ProbeBuffer probes_;
  LayerStack stack_;
  LoopedPass loop_;
  std::unique_ptr<Readback> logits_;
};

}  // namespace orrery
