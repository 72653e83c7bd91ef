// demo: the main job in one command, for ./run: opens the window generating on the default model; without a display
// does the same headless and leaves a session and a picture of every view.
#include <filesystem>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/model_options.h"
#include "app/commands/picture.h"
#include "app/commands/session_run.h"
#include "app/commands/window_command.h"
#include "app/example_prompt.h"
#include "app/library/embedded_model.h"
#include "app/prompt.h"
#include "app/recorded_run.h"
#include "app/session_scene.h"
#include "sessions/schema.h"
#include "views/registry.h"

namespace orrery {
namespace {

constexpr const char* kDemoSession = "demo.orrery";
constexpr int64_t kDemoTokens = 96;
// As in the window: exact rows of all heads for the first steps.
constexpr int64_t kDemoPinnedSteps = 512;

// Only an earlier demo's session is replaced, never something else under that name.
Result<void> remove_old_session() {
  ORRERY_ASSIGN_OR_RETURN(const FileKind kind, look_at_session_path(kDemoSession));
  if (kind == FileKind::kMissing) return {};
  std::error_code error;
  for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(std::string(kDemoSession) + ending, error);
  if (std::filesystem::exists(kDemoSession)) {
    return Error{ErrorCode::kIo, std::string("the session of an earlier demo cannot be replaced: ") + kDemoSession};
  }
  return {};
}

Result<SessionRun> record_demo(const OpenedModel& opened, const std::string& text, RunControl& control) {
  Result<PreparedPrompt> prompt = prepare_prompt(PromptKind::kChat, text, opened);
  if (!prompt) prompt = prepare_prompt(PromptKind::kPrompt, text, opened);
  if (!prompt) return prompt.error();
  RunRequest request;
  request.prompt = prompt->tokens;
  request.n_new_tokens = kDemoTokens;
  request.schedule.pinned_steps = kDemoPinnedSteps;
  Generator generator(opened.model, opened.kv);
  request.batches = plan_batches(generator, static_cast<int64_t>(request.prompt.size()), request.schedule, {}, false);
  say("prompt: " + text);
  RunSinks sinks;
  sinks.on_token = [](const Token&, const std::string& written) { print(printable(written)); };
  Result<SessionRun> run =
      record_run(kDemoSession, opened, generator, prompt->record, std::move(request), false, sinks, control);
  print("\n");  // also after a text that ended early: the next line is not the model's
  return run;
}

Result<void> draw_views(const OpenedModel& opened, const Desktop& desktop, RunControl& control) {
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(kDemoSession));
  ORRERY_ASSIGN_OR_RETURN(const RunRecord record, reader->run(0));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> tokens, reader->tokens(record.run));
  ORRERY_ASSIGN_OR_RETURN(FrameHistory history, open_history(*reader, record, static_cast<int64_t>(tokens.size()) - 1));
  const std::unique_ptr<TokenizerTexts> texts =
      opened.tokenizer ? std::make_unique<TokenizerTexts>(opened.tokenizer) : nullptr;
  // The lens and the implied rows of recurrences are dear: computed again for what is drawn of them.
  const ModelOpener open_again = [&opened]() -> Result<const OpenedModel*> { return &opened; };
  for (const View* view : all_views()) {
    PictureRequest request;
    request.view = view;
    request.out = "demo-" + std::string(view->name()) + ".png";
    if (view->name() == "window") request.size = {1600, 1000};
    if (view->unavailable(history.info())) continue;
    ORRERY_RETURN_IF_ERROR(fetch_wanted(*reader, record, *view, request.state, open_again, control, history));
    ORRERY_RETURN_IF_ERROR(write_picture(request, history, texts.get(), desktop));
    say("wrote " + request.out);
  }
  return {};
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  catch_interrupts();
  ModelChoice choice = model_choice(options);
  if (choice.model.empty()) choice.model = kEmbeddedModel;
  const std::string prompt(example_prompt(choice.model));
  if (has_display() && context.desktop.available()) {
    WindowOptions window{.file = choice.model, .prompt = prompt, .generate = true};
    window.threads = std::max(choice.backend.threads, 0);
    if (options.has("--backend")) window.backend = choice.backend.name;
    return context.desktop.run_window(context.argc, context.argv, window);
  }
  if (!context.desktop.available()) return no_desktop("demo");
  ORRERY_RETURN_IF_ERROR(remove_old_session());
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_chosen_model(choice));
  RunControl control;
  control.watch(&interrupted());
  ORRERY_ASSIGN_OR_RETURN(const SessionRun run, record_demo(opened, prompt, control));
  if (run.status.failure) return *run.status.failure;
  say(std::string("recorded into ") + kDemoSession + ", " + bytes_text(run.status.n_bytes));
  if (run.result.reason == StopReason::kStopped)
    return Error{ErrorCode::kCancelled, std::string("interrupted; what was recorded is in ") + kDemoSession};
  ORRERY_RETURN_IF_ERROR(draw_views(opened, context.desktop, control));
  return 0;
}

}  // namespace

const CommandSpec& demo_command() {
  static const CommandSpec kSpec{
      .name = "demo",
      .summary = "Generates on the default model with every view open",
      .details =
          "The model comes with the program; --model takes another. Without a display it does the same job headless, "
          "in the "
          "current folder: demo.orrery, and demo-<view>.png for every view; a second demo replaces them.",
      .example = "  orrery demo",
      .options = with_model_options({}, DefaultModel::kEmbedded),
      .run = run};
  return kSpec;
}

}  // namespace orrery
