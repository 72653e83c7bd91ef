#include "app/open_model.h"

#include "app/fingerprint.h"
#include "app/library/installed_models.h"

namespace orrery {

Error OpenedModel::need_tokenizer() const {
  return {ErrorCode::kNotFound, no_tokenizer + "; give token ids with --tokens instead"};
}

std::string kv_name(DType dtype) { return dtype == DType::kF32 ? "f32" : "f16"; }

std::optional<DType> kv_dtype(std::string_view name) {
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    if (name == kv_name(dtype)) return dtype;
  }
  return std::nullopt;
}

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(std::shared_ptr<const ModelFile> file) {
  if (const GgufFile* gguf = file->gguf()) {
    return Tokenizer::from_gguf(std::shared_ptr<const GgufFile>(std::move(file), gguf));
  }
  return Tokenizer::from_folder(file->path());
}

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return Tokenizer::from_folder(path);
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<const ModelFile> file, ModelFile::open(path));
  return open_tokenizer(std::move(file));
}

Result<OpenedModel> open_model(const ModelChoice& choice, const std::function<bool(double)>& progress,
                               const BackendMakers& makers) {
  OpenedModel opened;
  ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path path, resolve_model(choice.model));
  ORRERY_ASSIGN_OR_RETURN(opened.file, ModelFile::open(path));
  ORRERY_ASSIGN_OR_RETURN(LoadedModel loaded,
                          load_model(opened.file, choice.backend, {.progress = progress, .loop = choice.loop}, makers));
  opened.model = std::move(loaded.model);
  opened.remark = std::move(loaded.remark);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = open_tokenizer(opened.file);
  if (tokenizer) {
    opened.tokenizer = std::move(*tokenizer);
  } else {
    opened.no_tokenizer = tokenizer.error().message;
  }
  opened.fingerprint = model_fingerprint(*opened.file);
  opened.kv = choice.kv.value_or(opened.model->default_kv_dtype());
  return opened;
}

namespace {

Result<std::string> fingerprint_at(const std::filesystem::path& path) {
  ORRERY_ASSIGN_OR_RETURN(const std::shared_ptr<const ModelFile> file, ModelFile::open(path));
  return model_fingerprint(*file);
}

}  // namespace

Result<std::string> find_recorded_model(const RunRecord& record, const std::string& given) {
  if (!given.empty()) {
    ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path path, resolve_model(given));
    ORRERY_ASSIGN_OR_RETURN(const std::string fingerprint, fingerprint_at(path));
    if (fingerprint == record.fingerprint) return path.string();
    return Error{ErrorCode::kMismatch,
                 "--model is another model than the one that was recorded (" + record.model_name + "): " + given};
  }
  const std::string& noted = record.settings.model_path;
  std::error_code ignored;
  if (!noted.empty() && std::filesystem::exists(noted, ignored)) {
    const Result<std::string> fingerprint = fingerprint_at(noted);
    if (fingerprint && *fingerprint == record.fingerprint) return noted;
  }
  const Result<std::vector<InstalledModel>> installed = installed_models();
  if (installed) {
    for (const InstalledModel& model : *installed) {
      const Result<std::string> fingerprint = fingerprint_at(model.path);
      if (fingerprint && *fingerprint == record.fingerprint) return model.path.string();
    }
  }
  return Error{ErrorCode::kNotFound, "the model that was recorded (" + record.model_name +
                                         ") is neither installed nor any more at its path; open it from where it "
                                         "is (--model): " +
                                         noted};
}

Result<ModelChoice> recorded_choice(const RunRecord& record, ModelChoice given) {
  ORRERY_ASSIGN_OR_RETURN(given.model, find_recorded_model(record, given.model));
  if (!given.kv) given.kv = kv_dtype(record.settings.kv);
  given.loop = LoopRequest::of(record.settings.loop);
  return given;
}

}  // namespace orrery
