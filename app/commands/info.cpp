// info: what is in a model or a session, without running anything.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/info_text.h"
#include "app/library/installed_models.h"
#include "sessions/schema.h"
#include "sessions/session_reader.h"

namespace orrery {
namespace {

bool is_session(const std::filesystem::path& path) {
  const Result<FileKind> kind = look_at_session_path(path.string());
  return kind && *kind != FileKind::kMissing;
}

bool is_model(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) || GgufFile::looks_like(path);
}

CommandResult run(const CommandContext& context) {
  const std::string given = context.options.text("PATH");
  nlohmann::json described;
  std::error_code ignored;
  std::filesystem::path path = given;
  if (!std::filesystem::exists(path, ignored)) {
    ORRERY_ASSIGN_OR_RETURN(path, resolve_model(given));
  }
  if (is_model(path)) {
    ORRERY_ASSIGN_OR_RETURN(const std::shared_ptr<const ModelFile> file, ModelFile::open(path));
    described = describe_model(file);
  } else if (is_session(path)) {
    ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(path.string()));
    ORRERY_ASSIGN_OR_RETURN(const SessionSummary summary, reader->summary());
    described = describe_session(summary);
  } else {
    // The readers know best what is wrong with a damaged file; one that is neither is told so here.
    return Error{ErrorCode::kInvalidFile,
                 "this is neither a model (GGUF file, Hugging Face folder) nor an Orrery session: " + given};
  }
  if (context.options.has("--json")) {
    print_json(described);
  } else {
    say(info_text(described));
  }
  return 0;
}

}  // namespace

const CommandSpec& info_command() {
  static const CommandSpec kSpec{
      .name = "info",
      .summary = "Says what is in a model or a session",
      .details =
          "A model: architecture, layers, parameters, bytes by dtype, tokenizer, the probes it offers. A session: "
          "its runs, tokens, probes, levels, bytes, gaps.",
      .example = "  orrery info smollm2-135m\n  orrery info sky.orrery --json",
      .options = {{.kind = OptionSpec::Kind::kPositional,
                   .name = "PATH",
                   .value = "",
                   .help = "A model file or folder, an installed model, or a session",
                   .required = true},
                  {.kind = OptionSpec::Kind::kFlag, .name = "--json", .value = "", .help = "Prints one JSON object"}},
      .run = run};
  return kSpec;
}

}  // namespace orrery
