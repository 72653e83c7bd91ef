// Running recorded tokens again: to compare every frame (verify), and to compute what was not recorded (recompute).
// Engine thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/frame_comparison.h"
#include "app/open_model.h"
#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "sessions/session_reader.h"

namespace orrery {

SamplerSettings sampler_of(const RunSettings& settings);  // not validated yet

// The turns that the settings note; of a session that notes none: what was not generated was given. At least one.
std::vector<RunTurn> turns_of(const RunSettings& settings, const std::vector<Token>& tokens);

struct VerifyReport {
  // Why bits cannot be expected to agree ("another build", "another instruction set"); empty where they must.
  std::vector<std::string> other_conditions;
  FrameComparison frames;
  int64_t n_steps = 0;                      // steps that were run again
  int64_t n_sampled = 0;                    // tokens drawn again with the recorded sampler and seed
  int64_t n_sampled_other = 0;              // of those, drawn differently
  int64_t first_sampled_other = -1;         // step of the first
  std::vector<std::string> unknown_probes;  // recorded, but not known to this build: not compared

  bool bits_expected() const { return other_conditions.empty(); }
  bool bit_identical() const { return frames.n_other_bits() == 0 && n_sampled_other == 0; }
  // What verify's exit status says.
  bool passed() const { return bits_expected() ? bit_identical() : !frames.first_difference().has_value(); }
};

// Runs the recorded run again, batch by batch as it was, and compares. `opened.kv` is what it is run with. kBusy for a
// run that is being recorded, kCancelled when control stops it.
Result<VerifyReport> verify_run(SessionReader& reader, const RunRecord& record, const OpenedModel& opened,
                                const std::function<void(const RunProgress&)>& on_progress, RunControl& control);

// Feeds tokens [0, taps.end) again and hands over the Frames of the steps in [taps.begin, taps.end), ascending, origin
// recomputed. `take` says false to end early. kCancelled when control stops it.
Result<void> recompute(const OpenedModel& opened, int64_t run, const std::vector<Token>& tokens, const ExtraTaps& taps,
                       const std::function<Result<void>(const Frame&)>& take,
                       const std::function<void(const RunProgress&)>& on_progress, RunControl& control);

}  // namespace orrery
