#include "engine/jinja/lexer.h"

#include <algorithm>

namespace orrery::jinja {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(uint32_t code, std::string& text) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
  } else if (code < 0x10000) {
    text += {static_cast<char>(0xE0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 0x3F)),
             static_cast<char>(0x80 | (code & 0x3F))};
  } else {
    text += {static_cast<char>(0xF0 | (code >> 18)), static_cast<char>(0x80 | ((code >> 12) & 0x3F)),
             static_cast<char>(0x80 | ((code >> 6) & 0x3F)), static_cast<char>(0x80 | (code & 0x3F))};
  }
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    if (source_.ends_with('\n')) source_.remove_suffix(1);  // as Jinja does with a template's last line break
  }

  Result<std::vector<Chunk>> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      add_text(tag);
      if (tag == std::string_view::npos) break;
      at_ = tag;
      ORRERY_RETURN_IF_ERROR(source_[at_ + 1] == '#' ? comment() : code());
    }
    return std::move(chunks_);
  }

 private:
  size_t next_tag() const {
    for (size_t at = source_.find('{', at_); at != std::string_view::npos; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() && std::string_view("{%#").find(source_[at + 1]) != std::string_view::npos) return at;
    }
    return std::string_view::npos;
  }

  // The text from at_ up to the tag, less what the tag before it and this one take away.
  void add_text(size_t tag) {
    std::string_view text = source_.substr(at_, tag == std::string_view::npos ? tag : tag - at_);
    const bool at_line_start = line_starts_;
    if (strip_next_) text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    strip_next_ = false;
    if (tag != std::string_view::npos) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (sign == '-') {
        text = text.substr(0, text.find_last_not_of(kSpaces) + 1);
      } else if (sign != '+' && source_[tag + 1] != '{') {
        const size_t line = text.rfind('\n') + 1;  // 0 where there is no line break
        const bool blank = text.find_first_not_of(kSpaces, line) == std::string_view::npos;
        if (blank && (line > 0 || at_line_start)) text = text.substr(0, line);
      }
    }
    line_starts_ = false;
    if (!text.empty()) chunks_.push_back({Chunk::Kind::kText, std::string(text), {}});
  }

  // After a tag's end: "-" takes all white space that follows, a statement or comment one line break.
  void end_tag(bool minus, bool plus, bool is_output) {
    strip_next_ = minus;
    if (!minus && !plus && !is_output && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
      line_starts_ = true;
    }
  }

  Result<void> comment() {
    const size_t end = source_.find("#}", at_ + 2);
    if (end == std::string_view::npos) return fail("a comment is not closed");
    const char sign = end > at_ + 2 ? source_[end - 1] : '\0';
    at_ = end + 2;
    end_tag(sign == '-', sign == '+', false);
    return {};
  }

  Result<void> code() {
    const bool is_output = source_[at_ + 1] == '{';
    const std::string_view end = is_output ? "}}" : "%}";
    Chunk chunk{is_output ? Chunk::Kind::kOutput : Chunk::Kind::kStatement, {}, {}};
    at_ += 2;
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
    int n_braces = 0;
    while (true) {
      at_ = std::min(source_.find_first_not_of(kSpaces, at_), source_.size());
      if (at_ == source_.size()) return fail("a tag is not closed");
      const char sign = source_[at_];
      const size_t skip = sign == '-' || sign == '+' ? 1 : 0;
      if (n_braces == 0 && source_.substr(at_ + skip, 2) == end) {
        at_ += skip + 2;
        chunks_.push_back(std::move(chunk));
        end_tag(sign == '-', sign == '+', is_output);
        return {};
      }
      LexToken token;
      ORRERY_RETURN_IF_ERROR(read_token(token));
      if (token.kind == LexToken::Kind::kOperator && token.text == "{") ++n_braces;
      if (token.kind == LexToken::Kind::kOperator && token.text == "}") --n_braces;
      chunk.tokens.push_back(std::move(token));
    }
  }

  Result<void> read_token(LexToken& token) {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return read_text(token);
    const size_t start = at_;
    if (is_name_start(c)) {
      while (at_ < source_.size() && (is_name_start(source_[at_]) || is_digit(source_[at_]))) ++at_;
      token = {LexToken::Kind::kName, std::string(source_.substr(start, at_ - start))};
      return {};
    }
    if (is_digit(c)) {
      token.kind = LexToken::Kind::kInteger;
      while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
      if (at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1])) {
        token.kind = LexToken::Kind::kReal;
        ++at_;
        while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
      }
      token.text = source_.substr(start, at_ - start);
      if (token.text.size() > 15) return fail("a number is too long: " + token.text.substr(0, 20));
      return {};
    }
    static constexpr std::string_view kLong[] = {"==", "!=", "<=", ">=", "//", "**"};
    static constexpr std::string_view kShort = "+-*/%~<>=()[]{}.,:|";
    const std::string_view two = source_.substr(at_, 2);
    const bool is_long = std::find(std::begin(kLong), std::end(kLong), two) != std::end(kLong);
    if (!is_long && kShort.find(c) == std::string_view::npos) return fail("a tag holds an unknown character");
    token = {LexToken::Kind::kOperator, std::string(source_.substr(at_, is_long ? 2 : 1))};
    at_ += token.text.size();
    return {};
  }

  // Escapes as in Python.
  Result<void> read_text(LexToken& token) {
    const char quote = source_[at_++];
    token.kind = LexToken::Kind::kText;
    while (at_ < source_.size() && source_[at_] != quote) {
      char c = source_[at_++];
      if (c != '\\' || at_ == source_.size()) {
        token.text += c;
        continue;
      }
      c = source_[at_++];
      static constexpr std::string_view kFrom = "ntrfvab0\\'\"";
      static constexpr std::string_view kTo("\n\t\r\f\v\a\b\0\\'\"", 11);
      const size_t plain = kFrom.find(c);
      const size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (plain != std::string_view::npos) {
        token.text += kTo[plain];
      } else if (n_digits > 0) {
        ORRERY_RETURN_IF_ERROR(read_code_point(n_digits, token.text));
      } else if (c != '\n') {  // a line break that is escaped goes
        token.text += {'\\', c};
      }
    }
    if (at_ == source_.size()) return fail("a text is not closed");
    ++at_;
    return {};
  }

  Result<void> read_code_point(size_t n_digits, std::string& text) {
    uint32_t code = 0;
    for (size_t i = 0; i < n_digits; ++i, ++at_) {
      static constexpr std::string_view kDigits = "0123456789abcdef";
      const char digit = at_ < source_.size() ? static_cast<char>(source_[at_] | 0x20) : '\0';
      const size_t value = kDigits.find(digit);
      if (value == std::string_view::npos) return fail("a text has an unfinished escape");
      code = code * 16 + static_cast<uint32_t>(value);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return fail("a text has an escape that is no character");
    append_utf8(code, text);
    return {};
  }

  Error fail(std::string what) const { return Error{ErrorCode::kUnsupported, std::move(what)}; }

  std::string_view source_;
  size_t at_ = 0;
  bool strip_next_ = false;
  bool line_starts_ = true;  // what comes next begins a line
  std::vector<Chunk> chunks_;
};

}  // namespace

Result<std::vector<Chunk>> lex(std::string_view source) { return Lexer(source).run(); }

}  // namespace orrery::jinja
