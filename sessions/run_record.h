// RunRecord: what a session keeps about a run apart from its measurements: the model, the prompt, the settings, how it
// ended. Filled by the app before a run, written by SessionStore, read back by SessionReader without the model.
// The JSON text columns of the tables `model` and `run` are made and read here and in model_json.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/result.h"
#include "probes/run_info.h"
#include "probes/tap_mask.h"

namespace orrery {

// How a run ended. Stored as text in run.outcome, which is NULL while it is being recorded.
enum class RunEnd : uint8_t {
  kRecording,    // "recording": another program, or this one, is writing it now
  kComplete,     // "complete": all tokens asked for, or an end token
  kStopped,      // "stopped": the user stopped it
  kFailed,       // "failed": generation ended with an error
  kDiskFull,     // "disk full": recording stopped, generation may have gone on
  kInterrupted,  // "interrupted": the recording program ended without closing the run
};
std::string_view run_end_name(RunEnd end);
std::optional<RunEnd> parse_run_end(std::string_view name);

// run.prompt: {"kind": "prompt", "text": "...", "system": "...", "turns": ["..."]}. The tokens themselves are in
// `token`.
struct PromptRecord {
  std::string kind = "prompt";             // "prompt", "chat" or "tokens"
  std::string text;                        // as the user gave it; invalid UTF-8 is stored with U+FFFD
  std::optional<std::string> system = {};  // of a chat: the system message, where one was given
  std::vector<std::string> turns = {};     // of a chat: the user's further messages
};

// One stretch of a run: steps [begin, given_end) were given (empty where it just went on), those from given_end up to
// the next turn's begin were drawn, at most n_new_tokens of them.
struct RunTurn {
  int64_t begin = 0;
  int64_t given_end = 0;
  int64_t n_new_tokens = 0;
  bool operator==(const RunTurn&) const = default;
};

// run.settings, everything that a re-run must repeat.
struct RunSettings {
  std::string model_path;
  int32_t threads = 0;
  std::string kv;               // "f32" or "f16"
  std::string instruction_set;  // "AVX3_SPR", as Highway names it; "sm_90"; "emulated"
  std::string device;  // what computed, for people: "CPU, AVX3_SPR, 2 threads"; "NVIDIA H200, sm_90, CUDA 13.0"
  double temperature = 0.8;
  int32_t top_k = 40;
  double top_p = 0.95;
  double min_p = 0.0;
  double repeat_penalty = 1.0;
  uint64_t seed = 0;
  int64_t n_new_tokens = 0;  // -n
  bool one_step = false;     // --steps: the prompt was fed token by token
  // Half-open step ranges of the prefill batches, ascending. Steps outside were fed one at a time.
  std::vector<std::pair<int64_t, int64_t>> batches;
  TapSchedule schedule;  // level, spans, pinned_steps, pins
  // Ascending, the first from step 0. Empty in sessions of programs that knew one turn only: what is not of segment
  // generated was given.
  std::vector<RunTurn> turns;
  // Random numbers that the run's ancestors had drawn: a continued run draws on from there.
  int64_t n_drawn_before = 0;
  LoopConfig loop;  // how layers were gone through several times; none in a model without a loop
};

struct RunRecord {
  int64_t run = 0;     // assigned by begin_run
  int64_t parent = 0;  // the run this one branched from, 0: none
  std::string model_name;
  std::string fingerprint;  // of the model file; models with the same one share a row of `model`
  ModelConfig config;
  std::vector<std::string> layer_labels;  // one per layer
  int64_t created_ns = 0;                 // Unix time; begin_run fills it where it is 0
  PromptRecord prompt;
  RunSettings settings;
  std::string edits = "[]";  // JSON array; begin_run refuses other text
  std::string backend;       // "cpu", "cuda", "cuda-emulated"
  std::string build;         // version and compiler of the program that ran it
  RunEnd end = RunEnd::kRecording;
};

// What views need of it.
RunInfo run_info(const RunRecord& record);

// Text that is not valid UTF-8 is written with U+FFFD in its place; so these never fail.
std::string prompt_to_json(const PromptRecord& prompt);
std::string settings_to_json(const RunSettings& settings);
// Absent members keep their defaults; a wrong type or a value out of range is kInvalidFile.
Result<PromptRecord> prompt_from_json(std::string_view text);
Result<RunSettings> settings_from_json(std::string_view text);

}  // namespace orrery
