// Model: blocks and weights, immutable after load, shared by std::shared_ptr<const Model>: the one shared owner in the
// program. An architecture is one file in engine/models that maps configuration and tensor names to a list of Blocks.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/block.h"
#include "engine/cache.h"
#include "engine/config.h"
#include "engine/loop_body.h"
#include "engine/loop_request.h"
#include "engine/model_file.h"
#include "kernels/base/result.h"

namespace orrery {

// Of the root mean square of a row, or of what is left once its mean is taken away.
enum class NormKind : uint8_t { kRms, kLayer };

// What an architecture file builds.
struct ModelParts {
  ModelConfig config;
  TensorView embedding;         // [vocab_size, d_model]
  TensorView positions;         // [most positions, d_model], learned and added to the embeddings; empty: there are none
  TensorView output_norm;       // [d_model]
  TensorView output_norm_bias;  // [d_model] or empty; of a layer norm
  NormKind output_norm_kind = NormKind::kRms;
  TensorView output;                                 // [vocab_size, d_model]; the embedding where tied
  std::vector<std::unique_ptr<Block>> blocks;        // of the architecture's layers
  std::unique_ptr<LoopBody> loop;                    // of a looped model
  int64_t carried_width = 0;                         // of Step::carried
  std::vector<std::unique_ptr<Allocation>> memory;   // weights that the backend copied
  std::vector<std::unique_ptr<std::byte[]>> remade;  // weights that are computed with in another form than the file's
};

// f32 where the file's matrices are F32, else f16: the default of --kv.
DType default_kv_dtype(const ModelFile& file);

class Model {
 public:
  struct LoadOptions {
    // Called with the share of the weights that is placed, 0..1; false cancels. May be empty. On the loading thread.
    std::function<bool(double)> progress;
    // What is asked of the model's loop, or a loop for layers that have none. kInvalidArgument where it cannot be.
    LoopRequest loop = {};
  };

  // kUnsupported names an architecture that is not in the registry; kInvalidFile what contradicts; kOutOfMemory, before
  // anything is placed, where the backend has no room for the weights; kCancelled.
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<const ModelFile> file,
                                                   std::shared_ptr<Backend> backend, const LoadOptions& options);
  static Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path, std::shared_ptr<Backend> backend);

  // Its layers are the visits that a token makes: unrolled().
  const ModelConfig& config() const { return parts_.config; }
  const ModelParts& parts() const { return parts_; }
  const ModelFile& file() const { return *file_; }
  const std::shared_ptr<Backend>& backend() const { return backend_; }

  // Whether what leaves the last layer has passed the final norm.
  bool reads_normed() const;

  DType default_kv_dtype() const { return orrery::default_kv_dtype(*file_); }
  // What a sequence of this model remembers, layer by layer.
  std::vector<LayerState> states(DType kv_dtype) const;

 private:
  Model(std::shared_ptr<const ModelFile> file, std::shared_ptr<Backend> backend, ModelParts parts);
  std::shared_ptr<const ModelFile> file_;  // keeps the mapped weights
  std::shared_ptr<Backend> backend_;
  ModelParts parts_;
};

// Reads the configuration alone, without touching weights: for `info`. kUnsupported for unknown architectures.
Result<ModelConfig> read_config(const ModelFile& file);

}  // namespace orrery
