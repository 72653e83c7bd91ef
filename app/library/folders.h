// Where Orrery keeps what belongs to the user, after the XDG base directory specification. A variable that is unset,
// empty or not an absolute path counts as unset. All functions may be called from any thread that does not run beside a
// setenv().
#pragma once

#include <filesystem>

#include "kernels/base/result.h"

namespace orrery {

// $XDG_DATA_HOME/orrery, else ~/.local/share/orrery. Not created. kNotFound when there is no home folder.
Result<std::filesystem::path> data_folder();

// Where fetched models lie: $ORRERY_MODELS_DIR, else data_folder()/models. Not created.
Result<std::filesystem::path> models_folder();

// $XDG_STATE_HOME/orrery, else ~/.local/state/orrery. Not created.
Result<std::filesystem::path> state_folder();

// Where runs that nobody named are recorded: state_folder()/sessions, created with mode 0700, and set back to it where
// it is the user's own with another mode. kIo when it cannot be made, kUnsupported when it belongs to somebody else.
Result<std::filesystem::path> sessions_folder();

}  // namespace orrery
