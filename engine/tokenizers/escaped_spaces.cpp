#include "engine/tokenizers/escaped_spaces.h"

namespace orrery {
namespace {

std::string replace_all(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  size_t done = 0;
  for (size_t found = text.find(what); found != std::string_view::npos; found = text.find(what, done)) {
    out += text.substr(done, found - done);
    out += with;
    done = found + what.size();
  }
  out += text.substr(done);
  return out;
}

}  // namespace

std::string escape_spaces(std::string_view text) { return replace_all(text, " ", kEscapedSpace); }
std::string unescape_spaces(std::string_view text) { return replace_all(text, kEscapedSpace, " "); }

}  // namespace orrery
