#include "engine/tokenizers/hf_unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/uscript.h>
#include <unicode/utext.h>

#include <memory>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

bool has_category(char32_t c, uint32_t mask) { return (U_MASK(u_charType(static_cast<UChar32>(c))) & mask) != 0; }

bool is_of_version(char32_t c, uint8_t version) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] <= version;
}

// Made once; null with a failed status where memory lacks.
const icu::UnicodeSet* characters_of_unicode_11(UErrorCode& status) {
  static UErrorCode made = U_ZERO_ERROR;
  static const icu::UnicodeSet* const kSet = [] {
    auto* set = new icu::UnicodeSet(u"[[:age=11:][:Cn:]]", made);
    set->freeze();
    return set;
  }();
  if (U_FAILURE(made)) status = made;
  return kSet;
}

Error icu_failed(const std::string& what, UErrorCode status) {
  return {status == U_MEMORY_ALLOCATION_ERROR ? ErrorCode::kOutOfMemory : ErrorCode::kUnsupported,
          "ICU cannot " + what + ": " + u_errorName(status)};
}

}  // namespace

char32_t next_character(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const char32_t lead = byte(at);
  if (lead < 0x80) return text[at++];
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  char32_t c = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) c = c << 6 | (byte(at + i) & 0x3f);
  at += length;
  return c;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string to_valid_utf8(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    size_t length = utf8_char_length(bytes.substr(0, 4));
    if (length > 0) {
      out += bytes.substr(0, length);
    } else {
      length = broken_length(bytes);
      out += kReplacementCharacter;
    }
    bytes.remove_prefix(length);
  }
  return out;
}

bool is_white_space(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0; }

bool is_numeric(char32_t c) { return has_category(c, U_GC_N_MASK); }

bool is_word_character(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  return has_category(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) || u_isUAlphabetic(code) != 0 ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) != 0;
}

// The characters named here have changed category since the version of the reference's table.

bool is_punctuation(char32_t c) {
  if (c < 0x80) return has_category(c, U_GC_P_MASK | U_GC_S_MASK);
  if (c == 0x166d || c == 0x111c9) return true;
  return is_of_version(c, 8) && has_category(c, U_GC_P_MASK);
}

bool is_mark(char32_t c) {
  if (c == 0x1cf2 || c == 0x1cf3) return true;
  return c != 0x111c9 && is_of_version(c, 9) && has_category(c, U_GC_M_MASK);
}

bool is_nonspacing_mark(char32_t c) {
  if (c == 0x1734) return true;
  if (c == 0x1885 || c == 0x1886 || c == 0xa9bd || c == 0x111c9) return false;
  return is_of_version(c, 8) && has_category(c, U_GC_MN_MASK);
}

bool is_control_or_unused(char32_t c) {
  return is_of_version(c, 8) && has_category(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK);
}

void append_lower_case(std::string& text, char32_t c) {
  // The only character whose lower case is two, out of context (SpecialCasing.txt).
  if (c == 0x130) {
    text += "i\u0307";
  } else {
    append_utf8(static_cast<uint32_t>(u_tolower(static_cast<UChar32>(c))), text);
  }
}

int script_of(char32_t c) {
  if (c == 0x589 || c == 0x61c) return USCRIPT_COMMON;  // changed since
  if (c == 0x953 || c == 0x954) return USCRIPT_DEVANAGARI;
  UErrorCode status = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(static_cast<UChar32>(c), &status);
  return U_FAILURE(status) || script == USCRIPT_UNKNOWN || !is_of_version(c, 9) ? -1 : static_cast<int>(script);
}

Result<std::string> to_normal_form(std::string_view text, NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      normalizer = icu::Normalizer2::getNFCInstance(status);
      break;
    case NormalForm::kNfd:
      normalizer = icu::Normalizer2::getNFDInstance(status);
      break;
    case NormalForm::kNfkc:
      normalizer = icu::Normalizer2::getNFKCInstance(status);
      break;
    case NormalForm::kNfkd:
      normalizer = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  const icu::UnicodeSet* known = characters_of_unicode_11(status);
  if (U_FAILURE(status)) return icu_failed("normalize text", status);
  std::string out;
  icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(text.size()));
  icu::FilteredNormalizer2(*normalizer, *known)
      .normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) return icu_failed("normalize text", status);
  return out;
}

Result<void> for_each_grapheme(std::string_view text, const std::function<void(std::string_view)>& on_cluster) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UText, decltype(&utext_close)> utext(
      utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &status), &utext_close);
  const std::unique_ptr<UBreakIterator, decltype(&ubrk_close)> breaks(
      ubrk_open(UBRK_CHARACTER, "", nullptr, 0, &status), &ubrk_close);
  if (U_SUCCESS(status)) ubrk_setUText(breaks.get(), utext.get(), &status);
  if (U_FAILURE(status)) return icu_failed("cut text into characters", status);
  size_t begin = 0;
  for (int32_t end = ubrk_next(breaks.get()); end != UBRK_DONE; end = ubrk_next(breaks.get())) {
    on_cluster(text.substr(begin, static_cast<size_t>(end) - begin));
    begin = static_cast<size_t>(end);
  }
  return {};
}

}  // namespace orrery
