// The shape that most attention probes share: one number per query head of every attention layer.
#pragma once

#include <string_view>

#include "probes/probe.h"

namespace orrery {

// An exact f32 probe over [t, layer, head]. The texts must live as long as the program.
Probe head_scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity,
                  Level level);

}  // namespace orrery
