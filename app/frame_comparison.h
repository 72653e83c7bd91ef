// Compares Frames of one run, computed twice, value by value.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "probes/frame.h"

namespace orrery {

// How far two values may lie apart where bits need not agree (another instruction set, another build): sums are then
// taken in another order, and what follows from them differs in its last digits.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
};
Tolerance tolerance_of(const Probe& probe);

struct FrameDifference {
  const Probe* probe = nullptr;
  int64_t step = 0;
  int32_t layer = -1;  // -1: the probe has no layers
  int32_t head = -1;
  int64_t index = 0;  // among the values of that layer and head
  double recorded = 0;
  double recomputed = 0;
  bool shape = false;  // the two have different layers, heads or sizes: no values to tell
};

class FrameComparison {
 public:
  struct Totals {
    int64_t n_steps = 0;
    int64_t n_values = 0;
    int64_t n_other_bits = 0;
    double greatest_difference = 0;
  };

  // exact: any other bit is a difference; else only what is beyond the probe's tolerance.
  explicit FrameComparison(bool exact = true) : exact_(exact) {}

  // The steps that both frames cover. Lists of tops and of chosen experts are compared by their values where bits need
  // not agree, as near ties may stand in another order.
  void compare(const Frame& recorded, const Frame& recomputed);

  // The earliest in step, then in the order of the registry.
  const std::optional<FrameDifference>& first_difference() const { return first_; }
  const std::map<std::string, Totals, std::less<>>& totals() const { return totals_; }
  int64_t n_values() const;
  int64_t n_other_bits() const;

 private:
  void compare_step(const Frame& recorded, const Frame& recomputed, int64_t step);
  void note(const FrameDifference& difference);

  bool exact_;
  std::optional<FrameDifference> first_;
  std::map<std::string, Totals, std::less<>> totals_;
};

}  // namespace orrery
