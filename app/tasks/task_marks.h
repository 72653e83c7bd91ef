// Marks of a model at a task: fresh cases, read by the engine, and how many answers it gives right.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "app/open_model.h"
#include "app/tasks/tasks.h"

namespace orrery {

// Of answers with one label, or of all.
struct Tally {
  int64_t n_answers = 0;
  int64_t n_right = 0;
  int64_t sum_depth = 0;  // iterations; of a looped model
  double nats = 0.0;      // of what was right, summed
  double floor = 0.0;

  double accuracy() const { return share_of(static_cast<double>(n_right)); }
  double mean_depth() const { return share_of(static_cast<double>(sum_depth)); }
  double mean_nats() const { return share_of(nats); }
  double mean_floor() const { return share_of(floor); }
  void add(const Tally& other);

 private:
  double share_of(double sum) const { return n_answers == 0 ? 0.0 : sum / static_cast<double>(n_answers); }
};

// How sure the gate is that an answer is there after an iteration, against how often it is: of answers whose
// probability of having stopped by then falls into one bin.
struct ExitBin {
  int64_t n = 0;  // answers, once for every iteration but the last
  int64_t n_right = 0;
  double sum_probability = 0.0;
};
inline constexpr int kExitBins = 10;  // of probability, tenths

// Of one layer (in a loop: visit) with experts: how many of the choices that tokens of a class made fell on each.
struct ExpertUse {
  int32_t layer = 0;
  std::vector<std::vector<int64_t>> chosen;  // [class, expert]: task by task, the last one's domains apart
};

struct TaskMarks {
  const Task* task = nullptr;
  int64_t n_cases = 0;
  Tally all;
  std::vector<Tally> by_label;  // as Task::labels
};

struct MarksReport {
  std::vector<TaskMarks> tasks;
  std::vector<ExitBin> exits;  // [kExitBins], where the gate is held against answers; else empty
  std::vector<ExpertUse> experts;
  int64_t n_tokens = 0;
  int64_t n_iterations = 0;  // of the loop, as deep as it can go; 0: there is none
  int64_t sum_depth = 0;     // over all tokens
  double seconds = 0.0;      // in the engine
};

struct MarksRequest {
  std::vector<const Task*> tasks;
  int64_t n_cases = 256;  // of each task
  uint64_t seed = 0;
};

// Engine thread. `all_iterations`: the same model without early exits, by whose lens the gate is held against what
// would have been said; null: that is left out. kInvalidArgument where the model's vocabulary joins what a task needs
// apart; kCancelled where `go_on` (called with the cases done and all of them) says false.
Result<MarksReport> mark(const OpenedModel& opened, const OpenedModel* all_iterations, const MarksRequest& request,
                         const std::function<bool(int64_t, int64_t)>& go_on);

// Nats that knowing the class tells about the expert of a choice, every class counting alike: the mutual information of
// the two under a uniform class.
double information(const std::vector<std::vector<int64_t>>& chosen);

}  // namespace orrery
