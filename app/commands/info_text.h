// What `info` tells, as JSON and as text made from that JSON.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/model_file.h"
#include "sessions/session_reader.h"

namespace orrery {

// Also of models that cannot be run: "runs" is then false and "refusal" says why.
nlohmann::json describe_model(const std::shared_ptr<const ModelFile>& file);
nlohmann::json describe_session(const SessionSummary& summary);
std::string info_text(const nlohmann::json& described);

}  // namespace orrery
