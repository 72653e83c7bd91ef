// What a view draws of a recorded run, without a window: the history that it wants, fetched from the session.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/open_model.h"
#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "probes/frame_history.h"
#include "sessions/session_reader.h"
#include "views/scene.h"
#include "views/text_metrics.h"
#include "views/view.h"

namespace orrery {

// Tokens, events and newest steps of the run; the rest comes by fetch_wanted. Holds all that a picture needs.
Result<FrameHistory> open_history(SessionReader& reader, const RunRecord& record, int64_t n_processed);

// Hands over the model that made the run, opened when it is first asked for.
using ModelOpener = std::function<Result<const OpenedModel*>()>;

// Adds the recorded frames that the view would draw. With `open_model`, what was not recorded is recomputed, from a
// checkpoint where there is one: `say` is told (CheckpointSource).
Result<void> fetch_wanted(SessionReader& reader, const RunRecord& record, const View& view, const ViewState& state,
                          const ModelOpener& open_model, RunControl& control, FrameHistory& history,
                          const std::function<void(const std::string&)>& say = {});

// The texts of ids by a tokenizer.
class TokenizerTexts final : public TokenTexts {
 public:
  explicit TokenizerTexts(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}
  std::string bytes(int32_t id) const override { return tokenizer_->token_bytes(id); }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
};

// The tokenizer of the recorded model, where the model is still at its place; null else. Cheap.
std::shared_ptr<const Tokenizer> recorded_tokenizer(const RunRecord& record, const std::string& model);

}  // namespace orrery
