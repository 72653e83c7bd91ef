// Fetching a model at a terminal: its licence first, then progress; Ctrl-C stops, and the next call goes on.
#pragma once

#include "app/library/fetch.h"
#include "kernels/base/result.h"

namespace orrery {

// Says what will come and under which licence, asks on a terminal where the licence must be accepted and
// `licence_accepted` does not say that it is, and fetches; a script is not asked. The plan that was carried out;
// `installed` says that the model was here already. Errors as of plan_fetch and run_fetch, saying where the same call
// would go on.
Result<FetchPlan> fetch_with_progress(const FetchRequest& request, bool licence_accepted);

}  // namespace orrery
