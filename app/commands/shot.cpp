// shot: what a view draws of a recording, as a file.
#include <charconv>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/loop_options.h"
#include "app/commands/picture.h"
#include "app/commands/session_run.h"
#include "app/session_scene.h"
#include "views/command.h"
#include "views/registry.h"
#include "views/token_scalars.h"
#include "views/what_if.h"

namespace orrery {
namespace {

constexpr float kLargestSide = 16384;

// "1280x860"
Result<Size> parse_size(const std::string& text) {
  int width = 0;
  int height = 0;
  const char* end = text.data() + text.size();
  const auto w = std::from_chars(text.data(), end, width);
  if (w.ec == std::errc() && w.ptr != end && *w.ptr == 'x') {
    const auto h = std::from_chars(w.ptr + 1, end, height);
    if (h.ec == std::errc() && h.ptr == end && width >= 1 && height >= 1 && width <= kLargestSide &&
        height <= kLargestSide) {
      return Size{static_cast<float>(width), static_cast<float>(height)};
    }
  }
  return Error{ErrorCode::kInvalidArgument,
               "--size takes WxH in pixels, each from 1 to 16384, as in 1280x860, not: " + text};
}

// --layer, --head, --expert, --tint, --what-if.
Result<void> select(const Options& options, const ModelConfig& config, ViewState& state) {
  const auto chosen = [&](const char* name, int64_t n) -> Result<int32_t> {
    const int64_t value = options.integer(name, -1);
    if (!options.has(name) || (value >= 0 && value < n)) return static_cast<int32_t>(value);
    return Error{ErrorCode::kInvalidArgument, std::string(name) + " takes a number from 0 to " + std::to_string(n - 1) +
                                                  ", not: " + options.text(name)};
  };
  ORRERY_ASSIGN_OR_RETURN(state.selected.layer, chosen("--layer", config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(state.selected.head, chosen("--head", 1 << 20));
  ORRERY_ASSIGN_OR_RETURN(state.selected.expert, chosen("--expert", 1 << 20));
  if (options.has("--tint")) {
    state.token_scalar = options.text("--tint");
    if (find_token_scalar(state.token_scalar).name != state.token_scalar) {
      std::string names;
      for (const TokenScalar& one : token_scalars()) names += (names.empty() ? "" : ", ") + std::string(one.name);
      return Error{ErrorCode::kInvalidArgument, "--tint takes one of " + names + ", not: " + state.token_scalar};
    }
  }
  if (!options.has("--what-if")) return {};
  ORRERY_ASSIGN_OR_RETURN(const LoopRequest::Exit exit, parse_exit(options.text("--what-if")));
  if (!can_ask(config.loop, exit.rule)) {
    return Error{ErrorCode::kInvalidArgument,
                 "--what-if takes an exit that can be told from what is recorded, step:T, or gate:T of a loop with a "
                 "gate, not: " +
                     options.text("--what-if")};
  }
  state.what_if = WhatIf{exit.rule, exit.threshold};
  return {};
}

Result<PictureRequest> request_of(const Options& options, const OpenedRun& run) {
  PictureRequest request;
  ORRERY_ASSIGN_OR_RETURN(request.view, find_view(options.text("--view")));
  if (const std::optional<std::string> why = request.view->unavailable(run_info(run.record))) {
    return Error{ErrorCode::kUnsupported, "--view " + options.text("--view") + ": " + *why};
  }
  if (options.has("--size")) {
    ORRERY_ASSIGN_OR_RETURN(request.size, parse_size(options.text("--size")));
  }
  request.state.theme = *parse_theme(options.text("--theme", "light"));
  request.out = options.text("--out");
  if (options.has("--step")) {
    const int64_t step = options.integer("--step", 0);
    if (step < 0 || step >= run.n_processed) {
      return Error{ErrorCode::kInvalidArgument, "--step takes a step of the run, which has steps 0 to " +
                                                    std::to_string(run.n_processed - 1) +
                                                    ", not: " + options.text("--step")};
    }
    apply(request.state, Select{.step = step});
  }
  ORRERY_RETURN_IF_ERROR(select(options, run.record.config, request.state));
  return request;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(OpenedRun run, open_run(options));
  ORRERY_ASSIGN_OR_RETURN(const PictureRequest request, request_of(options, run));
  ORRERY_RETURN_IF_ERROR(check_out(request.out, run.reader->path()));
  if (request.out.ends_with(".png") && !context.desktop.available()) return no_desktop(request.out);
  ORRERY_ASSIGN_OR_RETURN(FrameHistory history, open_history(*run.reader, run.record, run.n_processed));
  std::optional<OpenedModel> opened;
  ModelOpener open_model;
  if (options.has("--model")) {
    ORRERY_RETURN_IF_ERROR(find_recorded_model(run.record, options.text("--model")));
    open_model = [&]() -> Result<const OpenedModel*> {
      if (!opened) {
        ORRERY_ASSIGN_OR_RETURN(opened, open_recorded_model(run.record, options));
      }
      return &*opened;
    };
  }
  RunControl control;
  control.watch(&interrupted());
  ORRERY_RETURN_IF_ERROR(fetch_wanted(*run.reader, run.record, *request.view, request.state, open_model, control,
                                      history, [](const std::string& what) { say("recomputing: " + what); }));
  const std::shared_ptr<const Tokenizer> tokenizer = recorded_tokenizer(run.record, options.text("--model"));
  const std::unique_ptr<TokenizerTexts> texts = tokenizer ? std::make_unique<TokenizerTexts>(tokenizer) : nullptr;
  ORRERY_RETURN_IF_ERROR(write_picture(request, history, texts.get(), context.desktop));
  return 0;
}

}  // namespace

const CommandSpec& shot_command() {
  using Kind = OptionSpec::Kind;
  using Type = OptionSpec::Type;
  static const CommandSpec kSpec{
      .name = "shot",
      .summary = "Draws a view of a recording as PNG, SVG or JSON, or writes its numbers as CSV or NPY",
      .details =
          "Views: attention, state, convolution, fast, mixing, routing, loop, cache, lens, output, text, and window, "
          "which tiles those that the model has. "
          "JSON has the drawn cells with their values, axes, ticks and labels; CSV and NPY take a file per map or "
          "chart, numbered and named. With --model, what the view needs and "
          "the session lacks is recomputed; without it, it is drawn as missing.",
      .example =
          "  orrery shot sky.orrery --view attention --out attention.png\n"
          "  orrery shot sky.orrery --view window --step 12 --theme dark --size 1600x1000 --out window.svg",
      .options = with_model_options(
          {{.kind = Kind::kPositional, .name = "SESSION", .value = "", .help = "The session", .required = true},
           {.name = "--view", .value = "NAME", .help = "Which view", .required = true},
           {.name = "--run", .value = "R", .help = "Which run (default: the last)", .type = Type::kInteger},
           {.name = "--step", .value = "N", .help = "The selected step (default: the newest)", .type = Type::kInteger},
           {.name = "--layer", .value = "N", .help = "The selected layer", .type = Type::kInteger},
           {.name = "--head", .value = "N", .help = "The selected head", .type = Type::kInteger},
           {.name = "--expert", .value = "N", .help = "The selected expert", .type = Type::kInteger},
           {.name = "--tint", .value = "NAME", .help = "What colours the text, as state.write"},
           {.name = "--what-if", .value = "RULE", .help = "Depths of a loop as with the exit gate:T or step:T"},
           {.name = "--size", .value = "WxH", .help = "In pixels (default 1280x860)"},
           {.name = "--theme",
            .value = "T",
            .help = "light, dark or projector (default light)",
            .choices = {"light", "dark", "projector"}},
           {.name = "--out", .value = "F.png|svg|json|csv|npy", .help = "The file to write", .required = true}},
          DefaultModel::kRecorded),
      .run = run};
  return kSpec;
}

}  // namespace orrery
