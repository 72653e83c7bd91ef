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

// Whether rotations depend on the length of the text, and so on what is fed together.
bool turns_by_length(const ModelConfig& config);

// kInvalidFile where a token is missing: the run cannot be run again.
Result<void> check_complete(const std::vector<Token>& tokens);

// In what this program, backend and cache type differ from those that recorded; where in nothing, bits must agree.
std::vector<std::string> other_conditions(const RunRecord& record, const OpenedModel& opened);

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

// Where a re-run may begin but at the first token: the recording's checkpoints.
struct CheckpointSource {
  SessionReader& reader;
  const RunRecord& record;
  // Told which was used ("from the checkpoint at step 256"), or why none was where the recording has some; may be
  // empty.
  std::function<void(const std::string&)> say;
};

// Takes up the last checkpoint at or before `step` that leads to what was recorded next, and returns its tokens; else
// the generator is at 0. Only of recordings whose bits this program and backend repeat, and of models whose rotations
// do not depend on what is fed together; so that what follows is bit for bit what a replay from the start gives
// (on a device within last digits: there a row's bits depend on its batch).
int64_t start_from_checkpoint(const CheckpointSource& source, const OpenedModel& opened,
                              const std::vector<Token>& tokens, int64_t step, Generator& generator);

// Feeds tokens [0, taps.end) again, or those from a checkpoint of `source` on, and hands over the Frames of the steps
// in [taps.begin, taps.end), ascending, origin recomputed. `take` says false to end early. kCancelled when control
// stops it.
Result<void> recompute(const OpenedModel& opened, int64_t run, const std::vector<Token>& tokens, const ExtraTaps& taps,
                       const std::function<Result<void>(const Frame&)>& take,
                       const std::function<void(const RunProgress&)>& on_progress, RunControl& control,
                       const CheckpointSource* source = nullptr);

}  // namespace orrery
