// --loops, --loop-layers, --exit, --loop-cache: how often layers are gone through, for the commands that run a model.
#pragma once

#include <vector>

#include "app/commands/command.h"
#include "engine/loop_request.h"

namespace orrery {

// `more`, with these options behind them.
std::vector<OptionSpec> with_loop_options(std::vector<OptionSpec> more);
// kInvalidArgument names the option that cannot be read.
Result<LoopRequest> loop_request(const Options& options);

// "fixed", "gate:0.5", "step:0.03", "kl:0.001": what --exit takes.
Result<LoopRequest::Exit> parse_exit(const std::string& text);

}  // namespace orrery
