// logits: the model's own numbers, for comparing it with another implementation.
#include <algorithm>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/loop_options.h"
#include "app/commands/model_options.h"
#include "app/npy.h"
#include "app/prompt.h"
#include "app/run_loop.h"
#include "engine/generator.h"

namespace orrery {
namespace {

constexpr size_t kLogitBytes = size_t{64} << 20;

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  catch_interrupts();
  ModelChoice choice = model_choice(options);
  if (!choice.kv) choice.kv = DType::kF32;
  ORRERY_ASSIGN_OR_RETURN(choice.loop, loop_request(options));
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_chosen_model(choice));
  ORRERY_ASSIGN_OR_RETURN(const PreparedPrompt prompt,
                          prepare_prompt(PromptKind::kTokens, options.text("--tokens"), opened));
  std::vector<int32_t> ids;
  for (const Token& token : prompt.tokens) ids.push_back(token.id);

  const int64_t vocab = opened.model->config().vocab_size;
  const auto n_tokens = static_cast<int64_t>(ids.size());
  ORRERY_ASSIGN_OR_RETURN(NpyWriter out, NpyWriter::create(options.text("--out"), DType::kF32, {n_tokens, vocab}));
  Generator generator(opened.model, opened.kv);
  const ProbePlan nothing;
  const auto most = std::clamp<int64_t>(static_cast<int64_t>(kLogitBytes / sizeof(float)) / vocab, 1, kPrefillRows);
  const bool by_steps = options.has("--steps");
  const int64_t n_rows = by_steps ? 1 : most;
  if (!by_steps) generator.announce(n_tokens);
  for (int64_t begin = 0; begin < n_tokens; begin += n_rows) {
    if (interrupted())
      return Error{ErrorCode::kCancelled, "interrupted; this file is not whole: " + options.text("--out")};
    const auto batch = std::span<const int32_t>(ids).subspan(static_cast<size_t>(begin),
                                                             static_cast<size_t>(std::min(n_rows, n_tokens - begin)));
    ORRERY_ASSIGN_OR_RETURN(const Matrix<const float> logits, generator.feed(batch, nothing, LogitsWanted::kAll));
    for (int64_t row = 0; row < logits.n_rows; ++row) {
      ORRERY_RETURN_IF_ERROR(out.append_values(logits.row_span(row)));
    }
    show_progress("logits: " + std::to_string(begin + static_cast<int64_t>(batch.size())) + " of " +
                  std::to_string(n_tokens) + " tokens");
  }
  ORRERY_RETURN_IF_ERROR(out.close());
  return 0;
}

}  // namespace

const CommandSpec& logits_command() {
  static const CommandSpec kSpec{
      .name = "logits",
      .summary = "Writes the logits of given tokens as an NPY file",
      .details =
          "float32 [tokens, vocabulary], after the model's own cap or scale. Keys and values are cached as "
          "float32 unless --kv says otherwise.",
      .example = "  orrery logits --model smollm2-135m --tokens 19556,665,28 --out logits.npy",
      .options = with_model_options(with_loop_options(
          {{.name = "--tokens", .value = "1,2,3|@FILE", .help = "Token ids, or a file of them", .required = true},
           {.kind = OptionSpec::Kind::kFlag,
            .name = "--steps",
            .value = "",
            .help = "One token at a time through the caches, not in batches"},
           {.name = "--out", .value = "F.npy", .help = "The file to write", .required = true}})),
      .run = run};
  return kSpec;
}

}  // namespace orrery
