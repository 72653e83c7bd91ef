// The inspector's table: what is known about the selected token, layer, head and key. Pure.
#pragma once

#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view.h"
#include "views/view_state.h"

namespace orrery {

struct InspectorRow {
  std::string section;     // "Token", "Layer", "Head", "Key", "Candidates", "Run"
  std::string name;        // "entropy"
  std::string value;       // "2.314 nats"; "not recorded" where it is missing
  std::string provenance;  // "output.entropy · F32 · exact · live"; empty where it is no measurement
};

std::vector<InspectorRow> inspector_rows(const FrameHistory& history, const ViewState& state,
                                         const TokenTexts* texts = nullptr);

}  // namespace orrery
