// LoopedPass: takes the rows of a batch through a model's loop, iteration after iteration, decides row by row when they
// leave it, and through the layers behind it. What a row does not depend on is the batch: iterations see of other
// tokens what LoopConfig::fill and ::cache say, in a batch as in steps. Engine thread only.
//
// Rows that have left (kFrozen, kLatest) are not computed any more: a batch then falls into runs of rows that are still
// in the loop and runs that are not, which are taken in order of position, so that a row finds what it sees of earlier
// ones in the caches. Where all iterations of a layer share a cache, or what is said decides, one row goes the whole
// way before the next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/layer_stack.h"

namespace orrery {

class LoopedPass {
 public:
  LoopedPass(const Model& model, LayerStack& stack, Workspace& workspace)
      : model_(model), stack_(stack), workspace_(workspace) {}

  // Which of the loop's own quantities a pass is to measure; what the exit rule needs is measured anyhow.
  struct Wanted {
    bool changes = false;  // loop.step, loop.cosine
    bool gate = false;     // loop.exit
  };

  // Memory for a pass of n_rows. kOutOfMemory.
  Result<void> reserve(int64_t n_rows);
  // Floats of scratch that a pass of n_rows takes, beside what its blocks take.
  int64_t scratch_floats(int64_t n_rows) const;
  // x [n_rows, d_model]: the stream that reaches the loop becomes what the last layer behind it gives. Errors are those
  // of the backend, which is asked in between where rows may leave early.
  Result<void> run(const Batch& batch, Wanted wanted, Matrix<float> x);

  // What finish() is to bring before the following are valid.
  Fetch trace() const;
  // Iterations that each row went through, 1 .. n_iterations.
  std::span<const int32_t> depths() const { return depths_; }
  // |h_i - h_{i-1}| / |h_{i-1}| and the cosine of two changes, where measured; NaN for iterations that a row was not
  // in.
  float change(int64_t row, int32_t iteration) const;
  float cosine(int64_t row, int32_t iteration) const;
  // The probability of stopping after an iteration; the last that a row was in takes what is left of 1. NaN behind it.
  std::vector<float> exit_probabilities(int64_t row) const;

 private:
  enum Field : uint8_t { kChange, kCosine, kGate, kDivergence };
  static constexpr int64_t kFields = 4;

  // Rows [begin, end) of the part of a batch that is under way.
  struct RowRun {
    int64_t begin = 0;
    int64_t end = 0;
    bool active = true;  // in the loop still
  };
  // What a part of a batch works with: rows [first, first + x.n_rows), matrices [n_rows, d_model].
  struct Part {
    const Batch& batch;
    int64_t first;
    Matrix<float> x;
    Matrix<float> entry, before, change;
    Matrix<float> result;             // of rows that are read as they were when they left (kComputed)
    Matrix<float> said, said_before;  // logits [n_rows, vocab], where they decide
    std::vector<RowRun> runs;
  };

  Result<void> run_part(const Batch& batch, int64_t first, Matrix<float> x);
  Result<void> run_loop(Part& part);
  void run_layers(Part& part, int32_t iteration);
  void fill(Part& part, const RowRun& run, int32_t visit);
  void measure(Part& part, const RowRun& run, int32_t iteration);
  void say(Part& part, int32_t iteration);
  // Whether a row leaves after an iteration, by what was brought.
  bool leaves(int64_t row, int32_t iteration) const;
  void let_leave(Part& part, int32_t iteration);
  void take_results(Part& part);

  int32_t n_computed(int64_t row) const;  // iterations of a row
  const LoopConfig& loop() const { return model_.config().loop; }
  int32_t n_layers() const { return loop().end - loop().begin; }
  int32_t visit_of(int32_t layer, int32_t iteration) const { return layer + iteration * n_layers(); }
  int32_t first_behind() const { return loop().begin + n_layers() * loop().n_iterations; }
  bool goes_row_by_row() const { return loop().cache == LoopCache::kShared || loop().rule == ExitRule::kDivergence; }
  StatSlot slot(Field field, int64_t row, int32_t iteration) const;
  float brought(Field field, int64_t row, int32_t iteration) const;

  const Model& model_;
  LayerStack& stack_;
  Workspace& workspace_;
  Wanted wanted_;
  std::unique_ptr<Readback> trace_;  // [n_rows, n_iterations, kFields]
  int64_t n_rows_ = 0;
  std::vector<int32_t> depths_;
};

}  // namespace orrery
