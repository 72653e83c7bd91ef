// Runs a parsed Jinja template, as far as chat templates go: what a plain chat meets of expressions, filters, tests,
// methods and macros. What it does not know fails where it is met, and not before; so a branch for tools may hold
// anything. Bounded in steps, text and nesting, whatever the template says.
#pragma once

#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "engine/jinja/syntax.h"
#include "kernels/base/result.h"

namespace orrery::jinja {

// What a run may cost at most, in steps: one per expression or statement and one per 16 bytes that it writes or reads.
inline constexpr int64_t kMaxSteps = 1'000'000;
inline constexpr size_t kMaxTextBytes = size_t{1} << 20;  // of any one text

struct Surroundings {
  std::vector<std::pair<std::string, Value>> variables;
  std::tm today{};  // what strftime_now() says
};

// What the template writes. kInvalidArgument with the template's own words where it calls raise_exception(),
// kUnsupported where it needs what is not known, errs, or costs too much.
Result<std::string> render(const Body& body, const Surroundings& surroundings);

}  // namespace orrery::jinja
