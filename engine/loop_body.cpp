#include "engine/loop_body.h"

namespace orrery {

void LoopBody::begin(const Step& step, Matrix<const float> entry, Matrix<float> state) const {
  step.backend.activate(Activation::kIdentity, entry, state);
}

void LoopBody::enter(const Step&, Matrix<const float>, Matrix<float>) const {}

void LoopBody::leave(const Step&, Matrix<const float>, Matrix<float>) const {}

void LoopBody::gate(const Step&, Matrix<const float>, Matrix<float>) const { CHECK(false, "this loop has no gate"); }

void DampedLoop::leave(const Step& step, Matrix<const float> before, Matrix<float> state) const {
  step.backend.scale(state, share_);
  step.backend.add(state, before, 1.0f - share_);
}

void NormedLoop::leave(const Step& step, Matrix<const float>, Matrix<float> state) const {
  step.backend.rms_norm(state, weights_.norm, norm_epsilon_, state);
}

void NormedLoop::gate(const Step& step, Matrix<const float> state, Matrix<float> probability) const {
  const Product product[] = {{weights_.gate, weights_.gate_bias, probability}};
  step.backend.matmul(state, product);
  step.backend.activate(Activation::kSigmoid, probability, probability);
}

}  // namespace orrery
