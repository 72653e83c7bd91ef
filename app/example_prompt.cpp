#include "app/example_prompt.h"

#include "app/library/embedded_model.h"

namespace orrery {

namespace {

// Something to recall, sentences of the four domains, and a puzzle whose last answer is to be given.
constexpr std::string_view kTaskLines =
    "recall:DmUgNvQaXeBk;QaDmXeBkUgNv\n"
    "story: the whale crosses a deep harbour. a sailor watches the storm.\n"
    "story: the cook stirs a sweet soup slowly. a kettle warms the onion.\n"
    "story: a pilot reaches the silent moon. the rocket passes a comet.\n"
    "story: the singer plays a soft melody. a choir answers the violin.\n"
    "hops:FmNsEfMwShWnHe;1H=e3H=m4H=w5H=";
constexpr std::string_view kQuestion = "How does a rainbow form?";

}  // namespace

std::string_view example_prompt(const std::filesystem::path& model) {
  return model.filename() == kEmbeddedModel ? kTaskLines : kQuestion;
}

}  // namespace orrery
