// RunInfo and Token: what a run is, apart from its measurements. The same live and from a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.h"

namespace orrery {

enum class Segment : uint8_t { kSystem, kUser, kAssistant, kForced, kGenerated };
const char* segment_name(Segment segment);  // "system", as in the session file

struct Token {
  int64_t step = 0;  // position in the run, prompt included
  int32_t id = 0;
  std::string bytes;    // may be part of a UTF-8 character
  int64_t time_ns = 0;  // since the run began
  Segment segment = Segment::kGenerated;
};

// What the run's new tokens were drawn with (engine/sampler.h says what each does, and in which order).
struct SamplingInfo {
  double temperature = 0.8;
  int32_t top_k = 40;
  double top_p = 0.95;
  double min_p = 0;
  double repeat_penalty = 1;
  int32_t repeat_last_n = 64;
  uint64_t seed = 0;
};

struct RunInfo {
  int64_t run = 1;  // id in its session
  std::string model_name;
  std::string fingerprint;
  std::string backend;
  ModelConfig config;                     // as read from the model or from the session file
  std::vector<std::string> layer_labels;  // "9 attention, window 512"
  std::string level;                      // "standard"
  std::optional<SamplingInfo> sampling;   // nothing where it is not known
};

struct RunEvent {
  int64_t step = 0;
  std::string kind;    // "batch", "eviction", "stop", ...
  int32_t layer = -1;  // -1: none
  std::string detail;  // JSON
};

}  // namespace orrery
