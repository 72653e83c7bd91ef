#include "probes/run_info.h"

namespace orrery {

const char* segment_name(Segment segment) {
  switch (segment) {
    case Segment::kSystem:
      return "system";
    case Segment::kUser:
      return "user";
    case Segment::kAssistant:
      return "assistant";
    case Segment::kForced:
      return "forced";
    case Segment::kGenerated:
      return "generated";
  }
  return "";
}

}  // namespace orrery
