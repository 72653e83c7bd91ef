// attention.entropy, .first, .previous, .distance: one number per query head, of the row exactly as used (never
// renormalised). kernels/attention computes them where the weights are.
#include "probes/definitions.h"
#include "probes/head_scalar.h"

namespace orrery {

std::span<const Probe> attention_scalar_probes() {
  static const std::vector<Probe> kProbes{
      head_scalar("attention.entropy", "How spread a head's attention is: minus the sum of w ln w over its row.",
                  "nats", Quantity::kAttentionEntropy, Level::kLight),
      head_scalar("attention.first", "Weight on keys 0 to 3, where heads park attention that they do not need.", "",
                  Quantity::kAttentionFirst, Level::kLight),
      head_scalar("attention.previous", "Weight on the token just before (0 at the first).", "",
                  Quantity::kAttentionPrevious, Level::kLight),
      head_scalar("attention.distance", "Mean distance back to what is read: sum of w (t - key) over sum of w.",
                  "tokens", Quantity::kAttentionDistance, Level::kLight),
  };
  return kProbes;
}

}  // namespace orrery
