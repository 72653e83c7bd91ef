// fast.loss_before, .loss_after, .rate, .update, .drift: what a layer of test-time training learns from a token, per
// head. kernels/fast_weights defines the inner model and computes them where the weights are.
//
// W_t are the weights that token t is read with. Its gradient is taken at the weights of its mini-batch's beginning,
// but "before" is W_{t-1}, which the token before was read with (at the first token of a mini-batch the two are the
// same): so loss_before(t) to loss_after(t) is what the step W_{t-1} -> W_t, of size update(t), does to this token's
// loss. That step adds the token's gradient and weighs those of the mini-batch's earlier tokens anew.
#include "probes/definitions.h"
#include "probes/head_scalar.h"

namespace orrery {

std::span<const Probe> fast_probes() {
  static const std::vector<Probe> kProbes{
      head_scalar("fast.loss_before",
                  "Inner loss on the token, |f(k; W) - (v - k)|^2 / 2, with the fast weights as the token before left "
                  "them.",
                  "", Quantity::kFastLossBefore, Level::kLight, kFastHeads),
      head_scalar("fast.loss_after", "Inner loss on the token with the fast weights after its own step.", "",
                  Quantity::kFastLossAfter, Level::kLight, kFastHeads),
      head_scalar("fast.rate", "Inner step size: by how much the token's gradient counts in the fast weights.", "",
                  Quantity::kFastRate, Level::kLight, kFastHeads),
      head_scalar("fast.update", "Norm of the change of a head's fast weights by the token, biases included.", "",
                  Quantity::kFastUpdate, Level::kLight, kFastHeads),
      head_scalar("fast.drift", "Norm of how far a head's fast weights are from the learned ones they began with.", "",
                  Quantity::kFastDrift, Level::kLight, kFastHeads),
  };
  return kProbes;
}

}  // namespace orrery
