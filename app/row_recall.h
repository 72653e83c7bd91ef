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
#include <string>
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
  int32_t layer = 0;         // all its heads are computed: they cost next to nothing beside the way there
  std::string session = {};  // that has the run; empty: it is the engine's own
  bool operator==(const RowRequest&) const = default;
};

// What tokens put into the recurrences, which implied rows are made of, may take at most; no fork of it is kept, so
// that a step before one that was computed is begun from the first token again.
inline constexpr int64_t kMostHistoryBytes = int64_t{512} << 20;

class RowRecall {
 public:
  // Of the run that `source` goes on with; it outlives this object.
  explicit RowRecall(const Generator& source);
  // Of a run that no generator holds: its tokens are fed to one of this object's own, once, as far as rows of attention
  // are asked for. past_bytes: as in Generator::keep_past.
  RowRecall(const std::shared_ptr<const Model>& model, DType kv, size_t past_bytes);
  // That generator, for whom has a checkpoint that it can begin at. Null of a run that goes on elsewhere.
  Generator* own_source() { return own_source_.get(); }

  // Starts over for another row. `ids`: those of the run up to the step at least. `batches`: how its steps were fed
  // (half-open ranges; the others one by one), which rotations may depend on. kNotFound where the run has not come so
  // far or its model lacks what is asked for, kOutOfMemory for an implied row with too long a history.
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
  bool must_fill_source() const;
  Result<void> start();
  Result<void> choose_start();
  Result<void> check_history(int64_t step) const;
  Result<void> feed(Generator& generator, int64_t end, const ProbePlan& plan);
  int64_t slice_end(int64_t begin, int64_t max_rows) const;
  int64_t batch_end(int64_t step) const;

  // Whose sequence goes to the row that is asked for.
  Generator& own() { return row_.keeps_history ? *historian_ : generator_; }

  std::unique_ptr<Generator> own_source_;
  const Generator& source_;
  Generator generator_;                   // for rows of attention
  std::unique_ptr<Generator> historian_;  // for implied rows; has kept what went into recurrences since its first token
  bool turns_by_length_ = false;
  std::optional<RowRequest> request_;
  std::vector<int32_t> ids_;  // of the run, as of the last request
  std::vector<std::pair<int64_t, int64_t>> batches_;
  bool is_started_ = false;  // generator_ is on its way
  ProbePlan way_;            // on the way to the row
  ProbePlan row_;            // at its step
  int64_t n_total_ = 0;
  int64_t n_done_ = 0;
};

}  // namespace orrery
