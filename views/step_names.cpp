#include "views/step_names.h"

#include "views/token_text.h"

namespace orrery {

std::string token_at(const FrameHistory& history, int64_t step) {
  if (step < 0 || step >= history.n_steps()) return {};
  return token_label(history.tokens()[static_cast<size_t>(step)].bytes);
}

std::string step_text(const FrameHistory& history, int64_t step) {
  const std::string token = token_at(history, step);
  return "step " + std::to_string(step) + (token.empty() ? "" : " " + token);
}

}  // namespace orrery
