// RowRecall: computes one token of a run again to see the exact attention of one layer there, from what the run's cache
// still holds of the tokens before it: a view of the cache cut back to that token where there are only keys and values,
// the nearest fork of the states else (Generator::past). It works on a cache and a workspace of its own, so that the
// run goes on as if nothing had been: no bit of it changes.
//
// Work comes in slices, so that a newer request can replace an older one, and a run in progress goes on in between.
// Rows equal those of a recording bit for bit on the CPU, where a row does not depend on its batch. Engine thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/generator.h"
#include "kernels/base/result.h"
#include "probes/frame.h"

namespace orrery {

struct RowRequest {
  uint64_t tag = 0;  // of whoever asks
  int64_t run = 0;
  const Probe* probe = nullptr;  // attention.row or state.row
  int64_t step = 0;
  int32_t layer = 0;  // all its heads are computed: they cost next to nothing beside the way there
  bool operator==(const RowRequest&) const = default;
};

class RowRecall {
 public:
  // Of the model that `source` runs, which outlives this object.
  explicit RowRecall(const Generator& source);

  // Starts over for another row. `ids`: those of the run up to the step at least. `batches`: how its steps were fed
  // (half-open ranges; the others one by one), which rotations may depend on. kNotFound where the run has not come so
  // far or its model lacks what is asked for.
  Result<void> begin(const RowRequest& request, std::span<const int32_t> ids,
                     std::span<const std::pair<int64_t, int64_t>> batches);
  // Whether a row is under way, and which.
  const std::optional<RowRequest>& request() const { return request_; }
  void cancel() { request_.reset(); }
  // Feeds at most max_rows tokens; the row's Frame, origin recomputed, once it is there.
  Result<std::optional<Frame>> go_on(int64_t max_rows);

  // Of the request under way: tokens to feed, and those fed.
  int64_t n_total() const { return n_total_; }
  int64_t n_done() const { return n_done_; }

 private:
  Result<void> choose_start();
  int64_t slice_end(int64_t begin, int64_t max_rows) const;
  int64_t batch_end(int64_t step) const;

  const Generator& source_;
  Generator generator_;
  bool turns_by_length_ = false;
  bool has_history_ = false;  // its sequence has kept what went into the recurrences since its first token
  std::optional<RowRequest> request_;
  std::vector<int32_t> ids_;
  std::vector<std::pair<int64_t, int64_t>> batches_;
  ProbePlan way_;  // on the way to the row
  ProbePlan row_;  // at its step
  int64_t n_total_ = 0;
  int64_t n_done_ = 0;
};

}  // namespace orrery
