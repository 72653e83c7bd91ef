#include "app/commands/info_text.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "app/commands/console.h"
#include "app/commands/model_layers.h"
#include "app/fingerprint.h"
#include "app/open_model.h"
#include "engine/model.h"
#include "probes/levels.h"
#include "probes/probe.h"

namespace orrery {
namespace {

using nlohmann::json;

json describe_tokenizer(const std::shared_ptr<const ModelFile>& file) {
  const Result<std::shared_ptr<const Tokenizer>> tokenizer = open_tokenizer(file);
  if (!tokenizer) return {{"refusal", tokenizer.error().message}};
  const Tokenizer& t = **tokenizer;
  json described{
      {"model", t.model()},
      {"pre_tokenizer", t.pre_tokenizer()},
      {"n_vocab", t.n_vocab()},
      {"adds_bos", t.adds_bos()},
      {"adds_eos", t.adds_eos()},
      {"end_of_generation", std::vector<int32_t>(t.end_of_generation_ids().begin(), t.end_of_generation_ids().end())},
      {"chat_template", !t.chat_template().empty()}};
  if (t.bos()) described["bos"] = *t.bos();
  if (t.eos()) described["eos"] = *t.eos();
  return described;
}

// Every tensor's view() tells whether its dtype is computed on; the first that is not says so for the model. Huginn's
// files carry their table of rotations, in five dimensions, which follows from the settings and is never read.
std::string first_refusal(const ModelFile& file) {
  for (const StoredTensor& tensor : file.tensors().tensors()) {
    if (tensor.name == "freqs_cis") continue;
    if (!tensor.refusal.empty()) return "tensor " + tensor.name + ": " + tensor.refusal;
  }
  return {};
}

}  // namespace

json describe_model(const std::shared_ptr<const ModelFile>& file) {
  json described{{"kind", "model"},
                 {"path", file->path()},
                 {"name", file->name()},
                 {"format", file->format() == ModelFile::Format::kGguf ? "gguf" : "hugging face"},
                 {"architecture", file->architecture()},
                 {"fingerprint", model_fingerprint(*file)}};
  int64_t n_parameters = 0;
  uint64_t n_bytes = 0;
  std::map<std::string, uint64_t> bytes_by_dtype;
  for (const StoredTensor& tensor : file->tensors().tensors()) {
    n_parameters += tensor.n_elements;
    n_bytes += tensor.n_bytes;
    bytes_by_dtype[std::string(tensor.type_name)] += tensor.n_bytes;
  }
  described["files"] = file->gguf() != nullptr ? file->gguf()->n_files() : file->folder()->shards().size();
  described["tensors"] = file->tensors().tensors().size();
  described["parameters"] = n_parameters;
  described["bytes"] = n_bytes;
  described["bytes_by_dtype"] = bytes_by_dtype;
  described["tokenizer"] = describe_tokenizer(file);
  described["layers"] = json::array();
  described["probes"] = json::array();

  const Result<ModelConfig> config = read_config(*file);
  std::string refusal = config ? first_refusal(*file) : config.error().message;
  if (config && file->tensors().tensors().empty()) refusal = "the file has a vocabulary, but no weights";
  if (config) {
    described["d_model"] = config->d_model;
    described["vocab_size"] = config->vocab_size;
    described["context_length"] = config->context_length;
    described["tied_embedding"] = config->tied_embedding;
    const ModelConfig visited = unrolled(*config);
    described["layers"] = describe_layers(rolled(visited));
    if (visited.loop.any()) described["loop"] = describe_loop(visited.loop);
    described["cache"] = describe_cache(visited, default_kv_dtype(*file));
    for (const Probe* probe : offered_probes(*config)) described["probes"].push_back(probe->name);
  } else if (file->gguf() != nullptr) {
    // What most architectures state in the same way, so that a model that cannot be run yet is still described.
    for (const char* key : {"block_count", "embedding_length", "context_length"}) {
      const GgufValue* value = file->gguf()->find(file->architecture() + "." + key);
      if (value != nullptr && value->as_i64()) described["stated"][key] = *value->as_i64();
    }
  }
  described["runs"] = refusal.empty();
  if (!refusal.empty()) described["refusal"] = refusal;
  return described;
}

namespace {

json describe_run(const RunSummary& run) {
  const RunRecord& record = run.record;
  json described{{"run", record.run},
                 {"parent", record.parent == 0 ? json(nullptr) : json(record.parent)},
                 {"model", record.model_name},
                 {"architecture", record.config.architecture},
                 {"fingerprint", record.fingerprint},
                 {"n_layers", rolled(record.config).n_layers()},
                 {"created_ns", record.created_ns},
                 {"prompt", json::parse(prompt_to_json(record.prompt), nullptr, false)},
                 {"settings", json::parse(settings_to_json(record.settings), nullptr, false)},
                 {"backend", record.backend},
                 {"build", record.build},
                 {"level", level_name(record.settings.schedule.level)},
                 {"end", run_end_name(record.end)},
                 {"tokens", run.n_tokens},
                 {"prompt_tokens", run.n_prompt_tokens},
                 {"duration_ns", run.duration_ns},
                 {"probes", json::array()},
                 {"gaps", json::array()}};
  int64_t n_bytes = 0;
  for (const ProbeSummary& probe : run.probes) {
    n_bytes += probe.n_bytes;
    described["probes"].push_back({{"name", probe.name},
                                   {"level", 0},
                                   {"chunks", probe.n_chunks},
                                   {"bytes", probe.n_bytes},
                                   {"steps", probe.step_ranges},
                                   {"coarse", json::array()}});
    for (const LevelSummary& level : probe.levels) {
      n_bytes += level.n_bytes;
      described["probes"].back()["coarse"].push_back(
          {{"level", level.level},
           {"statistic", statistic_of(level.level) == Statistic::kMean ? "mean" : "greatest"},
           {"steps_per_cell", steps_per_cell(level.level)},
           {"chunks", level.n_chunks},
           {"bytes", level.n_bytes},
           {"steps", level.step_ranges}});
    }
  }
  described["bytes"] = n_bytes;
  described["checkpoints"] = json::array();
  for (const CheckpointEntry& one : run.checkpoints) {
    described["checkpoints"].push_back({{"step", one.step}, {"bytes", one.n_bytes}});
  }
  if (!run.bad_checkpoints.empty()) described["bad_checkpoints"] = run.bad_checkpoints;
  for (const Gap& gap : run.gaps) {
    described["gaps"].push_back({{"begin", gap.step_begin}, {"end", gap.step_end}, {"reason", gap.reason}});
  }
  return described;
}

}  // namespace

json describe_session(const SessionSummary& summary) {
  json described{{"kind", "session"},        {"path", summary.path},     {"bytes", summary.n_bytes},
                 {"schema", summary.schema}, {"notes", summary.n_notes}, {"runs", json::array()}};
  for (const RunSummary& run : summary.runs) described["runs"].push_back(describe_run(run));
  return described;
}

namespace {

std::string line(const std::string& name, const std::string& value) {
  return name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + value + "\n";
}

std::string text_of(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// "3 to 27  attention: 9 query heads, 3 of keys × 64; ...": consecutive layers that are alike, in one line.
std::string layers_text(const json& layers) {
  std::string text;
  const auto kind_of = [](const json& layer) {
    const std::string label = layer["label"];
    const size_t space = label.find(' ');
    return (space == std::string::npos ? label : label.substr(space + 1)) + ": " + text_of(layer["summary"]);
  };
  for (size_t i = 0; i < layers.size();) {
    size_t end = i + 1;
    while (end < layers.size() && kind_of(layers[end]) == kind_of(layers[i])) ++end;
    std::string which = std::to_string(i);
    if (end - i > 1) which += " to " + std::to_string(end - 1);
    text += line(i == 0 ? "layers" : "", which + "  " + kind_of(layers[i]));
    i = end;
  }
  return text;
}

// "20 KiB a token (keys and values, f16); recurrent state 1.2 MiB, convolution state 36 KiB, whatever the length"
std::string cache_text(const json& cache) {
  std::string text;
  if (const int64_t per_token = cache["bytes_per_token"]; per_token > 0) {
    text = bytes_text(per_token) + " a token (keys and values, " + text_of(cache["kv"]);
    const int64_t of_windows = cache["of_windows"];
    if (of_windows == per_token) text += ", until the windows are full";
    if (of_windows > 0 && of_windows < per_token) {
      text += "; " + bytes_text(per_token - of_windows) + " once the windows are full";
    }
    text += ")";
  }
  std::string constant;
  for (const auto& [name, n_bytes] : cache["constant"].items()) {
    if (n_bytes == 0) continue;
    constant += (constant.empty() ? "" : ", ") + name + " " + bytes_text(n_bytes.get<int64_t>());
  }
  if (constant.empty()) return text;
  return text + (text.empty() ? "" : "; ") + constant + ", whatever the length";
}

std::string tokenizer_text(const json& tokenizer) {
  if (tokenizer.contains("refusal")) return "none: " + text_of(tokenizer["refusal"]);
  return text_of(tokenizer["model"]) + ", " + text_of(tokenizer["pre_tokenizer"]) + ", " +
         text_of(tokenizer["n_vocab"]) + " tokens";
}

std::string model_text(const json& model) {
  std::string text = line("model", text_of(model["name"]));
  const bool is_split = model["files"] > 1;
  text += line("file", text_of(model["path"]) + " (" + text_of(model["format"]) +
                           (is_split ? ", weights in " + text_of(model["files"]) + " files" : "") + ")");
  text += line("architecture", text_of(model["architecture"]));
  text += line("parameters", text_of(model["parameters"]) + " in " + text_of(model["tensors"]) + " tensors");
  std::string dtypes;
  for (const auto& [name, n_bytes] : model["bytes_by_dtype"].items()) {
    dtypes += (dtypes.empty() ? "" : ", ") + name + " " + bytes_text(n_bytes.get<int64_t>());
  }
  text += line("weights", bytes_text(model["bytes"].get<int64_t>()) + " (" + dtypes + ")");
  if (model.contains("context_length")) text += line("context", text_of(model["context_length"]) + " tokens");
  text += layers_text(model["layers"]);
  if (model.contains("loop")) text += line("loop", model["loop"]["summary"]);
  if (model.contains("cache")) text += line("cache", cache_text(model["cache"]));
  if (model.contains("stated")) {
    for (const auto& [name, value] : model["stated"].items()) text += line(name, text_of(value));
  }
  text += line("tokenizer", tokenizer_text(model["tokenizer"]));
  std::string probes;
  for (const json& probe : model["probes"]) probes += (probes.empty() ? "" : ", ") + text_of(probe);
  text += line("probes", probes.empty() ? "none" : probes);
  if (model.contains("refusal")) text += line("cannot be run", text_of(model["refusal"]));
  return text;
}

// ", cells of 8 to 512 steps 3.1 KiB"; nothing where a run was too short for any.
std::string coarse_text(const json& levels) {
  int64_t n_bytes = 0;
  int64_t least = 0;
  int64_t most = 0;
  for (const json& level : levels) {
    n_bytes += level["bytes"].get<int64_t>();
    const auto steps = level["steps_per_cell"].get<int64_t>();
    least = least == 0 ? steps : std::min(least, steps);
    most = std::max(most, steps);
  }
  if (n_bytes == 0) return {};
  return ", cells of " + std::to_string(least) + (most > least ? " to " + std::to_string(most) : "") + " steps " +
         bytes_text(n_bytes);
}

std::string checkpoints_text(const json& run) {
  if (run.contains("bad_checkpoints")) return line("checkpoints", "unusable: " + text_of(run["bad_checkpoints"]));
  const json& all = run["checkpoints"];
  if (all.empty()) return {};
  int64_t n_bytes = 0;
  for (const json& one : all) n_bytes += one["bytes"].get<int64_t>();
  std::string steps = "at step " + text_of(all.front()["step"]);
  if (all.size() > 1) {
    steps = std::to_string(all.size()) + ", at steps " + text_of(all.front()["step"]) + " to " +
            text_of(all.back()["step"]);
  }
  return line("checkpoints", steps + ", " + bytes_text(n_bytes));
}

std::string run_text(const json& run) {
  std::string text = "\n" + line("run", text_of(run["run"]) + ", " + text_of(run["end"]));
  text += line("model", text_of(run["model"]) + " (" + text_of(run["architecture"]) + ")");
  text += line("tokens", text_of(run["tokens"]) + ", of which " + text_of(run["prompt_tokens"]) + " were given");
  text += line("level", text_of(run["level"]));
  const std::string device = run["settings"].value("device", "");
  text += line("run on", (device.empty() ? text_of(run["backend"]) : device) + ", " + text_of(run["build"]));
  size_t widest = 0;
  for (const json& probe : run["probes"]) widest = std::max(widest, text_of(probe["name"]).size());
  for (const json& probe : run["probes"]) {
    std::string steps;
    for (const json& range : probe["steps"]) {
      steps += (steps.empty() ? "" : ", ") + text_of(range[0]) + ":" + text_of(range[1]);
    }
    std::string name = text_of(probe["name"]);
    name.resize(widest, ' ');
    text += "  " + name + "  steps " + steps + ", " + bytes_text(probe["bytes"].get<int64_t>()) +
            coarse_text(probe["coarse"]) + "\n";
  }
  text += checkpoints_text(run);
  for (const json& gap : run["gaps"]) {
    text += line("gap", text_of(gap["begin"]) + ":" + text_of(gap["end"]) + ", " + text_of(gap["reason"]));
  }
  return text;
}

}  // namespace

std::string info_text(const json& described) {
  if (described["kind"] == "model") return model_text(described);
  std::string text = line("session", text_of(described["path"]));
  text += line("size", bytes_text(described["bytes"].get<int64_t>()) + ", schema " + text_of(described["schema"]));
  if (described["runs"].empty()) text += line("runs", "none");
  for (const json& run : described["runs"]) text += run_text(run);
  return text;
}

}  // namespace orrery
