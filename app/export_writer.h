// Writers of exported arrays: one row per step, in order; NPY, CSV and JSON.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/result.h"
#include "probes/probe.h"
#include "probes/run_info.h"

namespace orrery {

// What is exported: the array's axes after the user's choice of steps, layers and heads.
struct ExportShape {
  const Probe* probe = nullptr;
  int64_t run = 1;
  int64_t step_begin = 0;  // half-open
  int64_t step_end = 0;
  std::vector<int32_t> layers;  // the architecture's; empty where the probe has no layers
  int64_t n_iterations = 0;     // of a looped model: the axis after the layers; 0: there is none
  // [layers, n_iterations], or [layers]: the visits that Frames name by their layer ids; -1: the layer has no such
  // iteration.
  std::vector<int32_t> visits;
  std::vector<int32_t> heads;             // empty where it has no heads
  std::vector<int64_t> inner;             // sizes after [t, layer, head]
  std::vector<std::string> layer_labels;  // of `layers`

  std::vector<Axis> axes() const;      // the probe's, with that of iterations
  std::vector<int64_t> shape() const;  // [t, layer, iteration, head, inner...], without the axes that there are not
  int64_t values_per_step() const;
  size_t value_bytes() const { return probe->dtype == DType::kI64 ? 8 : 4; }
};

struct ExportSources {
  std::vector<std::pair<int64_t, int64_t>> recomputed;  // steps, half-open ranges; the others were recorded
  std::vector<std::pair<int64_t, int64_t>> missing;     // steps with no values: NaN, -1
};

class ExportWriter {
 public:
  // Removes what was not finished.
  virtual ~ExportWriter() = default;
  // values: values_per_step() of the probe's dtype. kIo naming the file.
  virtual Result<void> row(int64_t step, std::span<const std::byte> values) = 0;
  virtual Result<void> finish() = 0;

  // By the ending of `path`: .npy, .csv, .json. kInvalidArgument for another. `tokens`: those of the run, for CSV.
  static Result<std::unique_ptr<ExportWriter>> create(const std::string& path, const ExportShape& shape,
                                                      const ExportSources& sources, const std::vector<Token>& tokens);
};

}  // namespace orrery
