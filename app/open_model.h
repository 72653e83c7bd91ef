// From what the user calls a model to one that runs: its file, backend, tokenizer.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "app/backend_choice.h"
#include "engine/loop_request.h"
#include "engine/model.h"
#include "engine/model_file.h"
#include "engine/tokenizer.h"
#include "kernels/base/result.h"
#include "sessions/run_record.h"

namespace orrery {

// --model, --backend, --threads, --kv as given.
struct ModelChoice {
  std::string model;  // a path, or the name of an installed model
  BackendChoice backend;
  std::optional<DType> kv;  // none: the model's default
  LoopRequest loop = {};    // of its own loop, or of layers that are to be gone through several times
};

struct OpenedModel {
  std::shared_ptr<const ModelFile> file;
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null where there is none: `no_tokenizer` says why
  std::string no_tokenizer;
  std::string fingerprint;
  DType kv = DType::kF16;
  std::string remark;  // one sentence that the user should read about the backend; mostly empty

  // The sentence to fail with where text is needed.
  Error need_tokenizer() const;
};

// A missing or unusable tokenizer is no failure. Blocks while weights are placed; `progress` as in Model::LoadOptions.
Result<OpenedModel> open_model(const ModelChoice& choice, const std::function<bool(double)>& progress = {},
                               const BackendMakers& makers = {});

// The tokenizer of a model file alone, and why there is none.
Result<std::shared_ptr<const Tokenizer>> open_tokenizer(std::shared_ptr<const ModelFile> file);
// The same from its path; a folder needs neither weights nor a config.json.
Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const std::filesystem::path& path);

// The model that a recorded run was made with: `given` where it is not empty, else the path that the run's settings
// note, else an installed model of the same fingerprint. kMismatch where `given` is another model, kNotFound where none
// of them is there; the sentences name --model.
Result<std::string> find_recorded_model(const RunRecord& record, const std::string& given);

// What opens that model as it ran then: found as above, with the run's loop, and its cache type where `given` has none.
Result<ModelChoice> recorded_choice(const RunRecord& record, ModelChoice given);

std::string kv_name(DType dtype);  // "f16", "f32"
std::optional<DType> kv_dtype(std::string_view name);

}  // namespace orrery
