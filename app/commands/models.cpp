// models: what is installed, what is known, and how to get it.
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/fetch_command.h"
#include "app/library/folders.h"
#include "app/library/installed_models.h"
#include "app/library/known_models.h"

namespace orrery {
namespace {

CommandResult list(const Options& options) {
  ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path folder, models_folder());
  ORRERY_ASSIGN_OR_RETURN(const std::vector<InstalledModel> installed, installed_models(folder));
  nlohmann::json object{
      {"folder", folder.string()}, {"installed", nlohmann::json::array()}, {"known", nlohmann::json::array()}};
  std::string text = "installed in " + folder.string() + ":\n";
  for (const InstalledModel& model : installed) {
    object["installed"].push_back({{"name", model.name}, {"path", model.path.string()}, {"bytes", model.n_bytes}});
    text += "  " + model.name + "  " + bytes_text(static_cast<int64_t>(model.n_bytes)) + "\n";
  }
  if (installed.empty()) text += "  none\n";
  text += "known:\n";
  for (const KnownModel& model : known_models()) {
    bool here = false;
    for (const InstalledModel& one : installed) here = here || one.name == model.name;
    object["known"].push_back({{"name", model.name},
                               {"title", model.title},
                               {"licence", model.licence},
                               {"bytes", model.file_bytes},
                               {"installed", here}});
    text += "  " + model.name + "  " + model.title + ", " + bytes_text(static_cast<int64_t>(model.file_bytes)) +
            ", licence " + model.licence + (here ? ", installed" : "; get it with: orrery models get " + model.name) +
            "\n";
  }
  if (options.has("--json")) {
    print_json(object);
  } else {
    text.pop_back();
    say(text);
  }
  return 0;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  if (!options.has("ACTION")) return list(options);
  if (options.text("ACTION") != "get") {
    return usage_error("models", "knows the action get, not: " + options.text("ACTION"));
  }
  if (!options.has("NAME")) return usage_error("models", "get needs the name of a known model: " + known_model_names());
  const KnownModel* model = find_known_model(options.text("NAME"));
  if (model == nullptr) {
    return Error{ErrorCode::kNotFound,
                 "there is no known model of this name (known: " + known_model_names() + "): " + options.text("NAME")};
  }
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path path, fetch_with_progress(*model));
  say(model->name + " is at " + path.string());
  if (options.has("--json")) print_json({{"name", model->name}, {"path", path.string()}});
  return 0;
}

std::string fetch_line(const FetchProgress& progress) {
  const char* stage = progress.stage == FetchStage::kDownloading ? "downloading"
                      : progress.stage == FetchStage::kUnpacking ? "unpacking"
                                                                 : "checking";
  return std::string(stage) + " " + bytes_text(static_cast<int64_t>(progress.done_bytes)) + " of " +
         bytes_text(static_cast<int64_t>(progress.total_bytes));
}

}  // namespace

Result<std::filesystem::path> fetch_with_progress(const KnownModel& model) {
  say(model.title + ", licence " + model.licence + ". " + model.licence_text);
  FetchOptions fetch;
  ORRERY_ASSIGN_OR_RETURN(fetch.folder, models_folder());
  fetch.progress = [](const FetchProgress& progress) { show_progress(fetch_line(progress)); };
  fetch.cancel = &interrupted();
  Result<std::filesystem::path> path = fetch_model(model, fetch);
  show_progress({});
  return path;
}

const CommandSpec& models_command() {
  using Kind = OptionSpec::Kind;
  static const CommandSpec kSpec{
      .name = "models",
      .summary = "Lists installed and known models; `models get NAME` fetches one",
      .details =
          "A fetched model lies in the data folder of the user (ORRERY_MODELS_DIR names another); its licence is "
          "shown first, and its SHA-256 is checked.",
      .example = "  orrery models\n  orrery models get smollm2-135m",
      .options = {{.kind = Kind::kPositional, .name = "ACTION", .value = "", .help = "get: fetch the model NAME"},
                  {.kind = Kind::kPositional, .name = "NAME", .value = "", .help = "A known model"},
                  {.kind = Kind::kFlag, .name = "--json", .value = "", .help = "Prints one JSON object"}},
      .run = run};
  return kSpec;
}

}  // namespace orrery
