#include "app/build_info.h"

#include "orrery_commit.h"  // written by the build: ORRERY_COMMIT

namespace orrery {

std::string version() { return ORRERY_VERSION; }

std::string build_id() {
  return std::string(ORRERY_VERSION) + " (" ORRERY_COMMIT ", " ORRERY_COMPILER ", " ORRERY_BUILD_TYPE ")";
}

}  // namespace orrery
