#include "engine/blocks/token_shift.h"

namespace orrery {

StateSpec describe_token_shift(int64_t d_model) {
  StateSpec spec;
  spec.kind = StateKind::kConvolution;
  spec.shape = {2, d_model};
  return spec;
}

void shift_tokens(const Step& step, ShiftPlace place, const TensorView& mix, Matrix<const float> x, Matrix<float> out) {
  std::vector<StateRows> sequences = state_rows(step, StateKind::kConvolution);
  for (StateRows& rows : sequences) rows.state += static_cast<int64_t>(place) * x.n_cols;
  TokenShiftArgs args;
  args.x = x;
  args.mix = {mix.f32(), static_cast<size_t>(mix.shape.n_elements())};
  args.out = out;
  args.sequences = sequences;
  step.backend.token_shift(args);
}

}  // namespace orrery
