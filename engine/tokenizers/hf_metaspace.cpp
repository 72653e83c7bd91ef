#include "engine/tokenizers/hf_metaspace.h"

#include <utility>

#include "engine/tokenizers/hf_unicode.h"

namespace orrery {

Result<HfMetaspace> HfMetaspace::read(const HfObject& object) {
  HfMetaspace made;
  ORRERY_ASSIGN_OR_RETURN(made.mark, object.text("replacement"));
  if (count_characters(made.mark) != 1) return object.wrong("replacement", "one character");
  ORRERY_ASSIGN_OR_RETURN(made.split, object.flag("split", true));
  // Files from before the schemes have add_prefix_space instead.
  ORRERY_ASSIGN_OR_RETURN(const bool add_prefix_space, object.flag("add_prefix_space", true));
  ORRERY_ASSIGN_OR_RETURN(const std::string scheme,
                          object.text("prepend_scheme", add_prefix_space ? "always" : "never"));
  if (scheme == "always") {
    made.prepend = Prepend::kAlways;
  } else if (scheme == "first") {
    made.prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    made.prepend = Prepend::kNever;
  } else {
    return object.wrong("prepend_scheme", "one of always, first, never");
  }
  return made;
}

char32_t HfMetaspace::mark_character() const {
  size_t at = 0;
  return next_character(mark, at);
}

void HfMetaspace::replace_spaces(HfPiece& piece) const {
  std::string text;
  text.reserve(piece.text.size() + mark.size());
  size_t n_origin = 0;
  for (size_t i = 0; i < piece.text.size(); ++i) {
    if (piece.text[i] == ' ') {
      text += mark;
    } else {
      text += piece.text[i];
    }
    if (i < piece.n_origin_bytes) n_origin = text.size();
  }
  piece = {std::move(text), n_origin};
  const bool wants_mark = prepend == Prepend::kAlways || (prepend == Prepend::kFirst && piece.is_at_start());
  if (wants_mark && !piece.text.starts_with(mark)) piece.prepend(mark);
}

}  // namespace orrery
