// tokenize: text to ids and back, with the vocabulary of a model; the weights are not touched.
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/library/installed_models.h"
#include "app/open_model.h"
#include "app/prompt.h"

namespace orrery {
namespace {

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorCode::kNotFound, "--file: there is no such file to read: " + path};
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return Error{ErrorCode::kIo, "--file: this cannot be read: " + path};
  return text;
}

CommandResult decode(const Tokenizer& tokenizer, const Options& options) {
  const std::string given = options.text("--decode");
  std::vector<int32_t> ids;
  if (given.find_first_not_of(", \t\r\n") != std::string::npos) {
    ORRERY_ASSIGN_OR_RETURN(ids, parse_ids(given, "--decode"));
  }
  ORRERY_ASSIGN_OR_RETURN(const std::string text, tokenizer.decode(ids, !options.has("--no-special")));
  if (options.has("--json")) {
    print_json({{"text", text}});
  } else {
    print(stdout_is_terminal() ? printable(text) + "\n" : text);
  }
  return 0;
}

CommandResult encode(const Tokenizer& tokenizer, const Options& options) {
  std::string text = options.text("--text");
  if (options.has("--file")) {
    ORRERY_ASSIGN_OR_RETURN(text, read_file(options.text("--file")));
  }
  ORRERY_ASSIGN_OR_RETURN(
      const std::vector<int32_t> ids,
      tokenizer.encode(text, options.has("--no-special") ? EncodeOptions::plain() : EncodeOptions{}));
  if (options.has("--json")) {
    print(nlohmann::json{{"ids", ids}}.dump() + "\n");
    return 0;
  }
  std::string line;
  for (const int32_t id : ids) line += (line.empty() ? "" : ",") + std::to_string(id);
  print(line + "\n");
  return 0;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  const int sources = static_cast<int>(options.has("--text")) + static_cast<int>(options.has("--file")) +
                      static_cast<int>(options.has("--decode"));
  if (sources != 1) return usage_error("tokenize", "takes one of --text, --file and --decode");
  ORRERY_ASSIGN_OR_RETURN(const std::filesystem::path path, resolve_model(options.text("--model")));
  ORRERY_ASSIGN_OR_RETURN(const std::shared_ptr<const Tokenizer> tokenizer, open_tokenizer(path));
  return options.has("--decode") ? decode(*tokenizer, options) : encode(*tokenizer, options);
}

}  // namespace

const CommandSpec& tokenize_command() {
  static const CommandSpec kSpec{
      .name = "tokenize",
      .summary = "Turns text into token ids, and back",
      .details =
          "Needs the vocabulary only, so it works on models that cannot be run yet. A file's bytes are taken "
          "exactly; bytes that are not UTF-8 are tokenized as they are.",
      .example =
          "  orrery tokenize --model smollm2-135m --text \"Hello there\" --json\n"
          "  orrery tokenize --model smollm2-135m --decode 19556,665",
      .options =
          {{.name = "--model", .value = "M", .help = "A model file or folder, or an installed model", .required = true},
           {.name = "--text", .value = "S", .help = "The text to tokenize"},
           {.name = "--file", .value = "F", .help = "The file to tokenize"},
           {.name = "--decode", .value = "1,2,3", .help = "Ids to turn into text"},
           {.kind = OptionSpec::Kind::kFlag,
            .name = "--no-special",
            .value = "",
            .help = "Special tokens are neither added nor parsed (nor written, with --decode)"},
           {.kind = OptionSpec::Kind::kFlag, .name = "--json", .value = "", .help = "Prints one JSON object"}},
      .run = run};
  return kSpec;
}

}  // namespace orrery
