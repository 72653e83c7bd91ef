// attention.output: how much a head hands on, before the output projection mixes the heads.
#include "probes/definitions.h"
#include "probes/head_scalar.h"

namespace orrery {

std::span<const Probe> attention_output_probes() {
  static const std::vector<Probe> kProbes{
      head_scalar("attention.output", "L2 norm of the head's slice of the output projection's input.", "",
                  Quantity::kAttentionOutput, Level::kStandard),
  };
  return kProbes;
}

}  // namespace orrery
