#include "app/commands/model_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "app/commands/console.h"
#include "app/library/embedded_model.h"

namespace orrery {

namespace {

std::string_view model_help(DefaultModel default_model) {
  switch (default_model) {
    case DefaultModel::kNone:
      break;
    case DefaultModel::kEmbedded:
      return "A GGUF file, a Hugging Face folder, or an installed model (default: orrery-hybrid, which comes with the "
             "program)";
    case DefaultModel::kRecorded:
      return "A GGUF file, a Hugging Face folder, or an installed model (default: the one that was recorded)";
  }
  return "A GGUF file, a Hugging Face folder, or an installed model";
}

}  // namespace

std::vector<OptionSpec> with_model_options(std::vector<OptionSpec> more, DefaultModel default_model) {
  std::vector<OptionSpec> options{
      {.name = "--model",
       .value = "M",
       .help = model_help(default_model),
       .required = default_model == DefaultModel::kNone},
      {.name = "--backend",
       .value = "B",
       .help = "What computes: cpu; cuda, the first NVIDIA device (it needs driver 580 or newer); cuda-emulated, the "
               "CUDA kernels emulated on the CPU, slow, for tests and tiny models (default: cuda where a device works, "
               "else cpu)",
       .choices = {"cpu", "cuda", "cuda-emulated"}},
      {.name = "--threads",
       .value = "N",
       .help = "Threads to compute with (default: all usable cores)",
       .type = OptionSpec::Type::kInteger},
      {.name = "--kv",
       .value = "T",
       .help = "Type of cached keys and values: f32 or f16 (default: f32 where the weights are F32, else f16)",
       .choices = {"f32", "f16"}},
  };
  std::ranges::move(more, std::back_inserter(options));
  return options;
}

ModelChoice model_choice(const Options& options) {
  ModelChoice choice;
  choice.model = options.text("--model");
  choice.backend.name = options.text("--backend");
  choice.backend.threads = static_cast<int>(std::clamp<int64_t>(options.integer("--threads", 0), -1, 1 << 20));
  if (options.has("--threads") && choice.backend.threads < 1) choice.backend.threads = -1;
  if (options.has("--kv")) choice.kv = options.text("--kv") == "f32" ? DType::kF32 : DType::kF16;
  return choice;
}

Result<OpenedModel> open_chosen_model(ModelChoice choice) {
  if (choice.model.empty()) choice.model = kEmbeddedModel;
  int shown = -1;
  Result<OpenedModel> opened = open_model(choice, [&](double share) {
    const int percent = static_cast<int>(std::floor(share * 100));
    if (percent != shown) show_progress("loading " + choice.model + ": " + std::to_string(percent) + " %");
    shown = percent;
    return !interrupted();
  });
  show_progress({});
  if (opened && !opened->remark.empty()) say(opened->remark);
  return opened;
}

Result<StepSpan> parse_span(const std::string& text, std::string_view option, int64_t end) {
  const size_t colon = text.find(':');
  StepSpan span{.begin = 0, .end = end};
  const auto read = [&](std::string_view part, int64_t& value) {
    if (part.empty()) return true;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && rest == part.data() + part.size();
  };
  const std::string_view view = text;
  if (colon == std::string::npos || !read(view.substr(0, colon), span.begin) ||
      !read(view.substr(colon + 1), span.end) || span.begin < 0 || span.end <= span.begin) {
    return Error{ErrorCode::kInvalidArgument, std::string(option) +
                                                  " takes a range of steps A:B, from A up to but not including B, "
                                                  "not: " +
                                                  text};
  }
  return span;
}

}  // namespace orrery
