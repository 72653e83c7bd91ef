#include "views/token_text.h"

#include <gtest/gtest.h>

#include "views/text_layout.h"

namespace orrery {
namespace {

std::vector<Token> tokens_of(const std::vector<std::string>& texts) {
  std::vector<Token> tokens;
  for (const std::string& text : texts) {
    Token token;
    token.step = static_cast<int64_t>(tokens.size());
    token.bytes = text;
    tokens.push_back(token);
  }
  return tokens;
}

TEST(TokenText, ShowsControlCharactersAndLineEnds) {
  EXPECT_EQ(visible_text("a\nb\tc"), "a↵b⇥c");
  EXPECT_EQ(visible_text(std::string_view("\0\x1b[31m\x7f", 7)), "␀␛[31m␡");
  EXPECT_EQ(visible_text("\xc2\x9b"), "\xEF\xBF\xBD");  // a one-character terminal escape
}

TEST(TokenText, ReplacesInvalidBytes) {
  EXPECT_EQ(visible_text("a\xff\xfe"), "a\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(visible_text("\xc0\xaf"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(visible_text("\xed\xa0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // surrogate
  EXPECT_EQ(visible_text("\xf4\x90\x80\x80").substr(0, 3), "\xEF\xBF\xBD");         // past the last code
}

TEST(TokenText, NamesCharactersThatReorderOrHideText) {
  EXPECT_EQ(visible_text("a\u202Eb"), "a⟦U+202E⟧b");
  EXPECT_EQ(visible_text("\u2066\uFEFF\u200B"), "⟦U+2066⟧⟦U+FEFF⟧⟦U+200B⟧");
  EXPECT_EQ(visible_text("👩\u200D🔬"), "👩\u200D🔬");  // joins an emoji
}

TEST(TokenText, LabelsShowSpacesAtTheEnds) {
  EXPECT_EQ(token_label("  a b "), "␣␣a b␣");
  EXPECT_EQ(token_label(" "), "␣");
  EXPECT_EQ(token_label(""), "∅");
  EXPECT_EQ(token_label("\xC2\xA0"), "⟦U+00A0⟧");
  EXPECT_EQ(token_label("a\xC2\xA0"), "a\xC2\xA0");
}

TEST(TokenPieces, JoinTokensThatShareACharacter) {
  const std::vector<Token> tokens = tokens_of({"a", " \xf0\x9f", "\x98", "\x80", "b"});
  const std::vector<TokenPiece> pieces = token_pieces(tokens);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[1].first, 1);
  EXPECT_EQ(pieces[1].count, 3);
  EXPECT_EQ(pieces[1].text, " 😀");
  EXPECT_EQ(pieces[2].text, "b");
}

TEST(TokenPieces, DoNotJoinWhatNeverBecomesACharacter) {
  const std::vector<TokenPiece> pieces = token_pieces(tokens_of({"\xe4", "x", "\xe4\xbd", "", "\xff", "\xe4"}));
  std::vector<int64_t> firsts;
  int64_t next = 0;
  for (const TokenPiece& piece : pieces) {
    EXPECT_EQ(piece.first, next);
    next += piece.count;
  }
  EXPECT_EQ(next, 6);
  EXPECT_EQ(pieces.size(), 6u);
  EXPECT_EQ(pieces[0].text, "\xEF\xBF\xBD");
}

TEST(TokenPieces, FollowCharactersThatChainThroughManyTokens) {
  // Three-byte characters cut after every second byte.
  std::string all;
  for (int i = 0; i < 9; ++i) all += "你";
  std::vector<std::string> parts;
  for (size_t i = 0; i < all.size(); i += 2) parts.push_back(all.substr(i, 2));
  std::string text;
  for (const TokenPiece& piece : token_pieces(tokens_of(parts))) text += piece.text;
  EXPECT_EQ(text, all);
}

TEST(TextLayout, BreaksBeforeWordsAndAfterLineEndsAndKeepsEveryToken) {
  const Theme& theme = theme_of(ThemeKind::kLight);
  const FixedWidthMetrics metrics(theme);
  const float cell = metrics.width("x", TextSize::kText);
  const std::vector<Token> tokens = tokens_of({"one", " two", "th", "ree", "\n", "four", " five", "", " six"});
  const std::vector<TextLine> lines = layout_text(tokens, 0, 9, metrics, cell * 10.5f);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].end(), 1);  // " twothree" does not fit behind "one"
  EXPECT_EQ(lines[1].end(), 5);
  EXPECT_EQ(lines[2].begin(), 5);
  EXPECT_EQ(lines[2].end(), 8);
  EXPECT_EQ(lines[3].end(), 9);
}

TEST(TextLayout, CutsATokenThatIsLongerThanALine) {
  const Theme& theme = theme_of(ThemeKind::kLight);
  const FixedWidthMetrics metrics(theme);
  const std::vector<Token> tokens = tokens_of({std::string(5000, 'x'), "y"});
  const std::vector<TextLine> lines = layout_text(tokens, 0, 2, metrics, 200);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_LE(metrics.width(lines[0].pieces[0].piece.text, TextSize::kText), 200);
}

TEST(TextLayout, LooksAtABoundedPartOfALongText) {
  const std::vector<Token> tokens(100000);
  for (const int64_t anchor : {0, 5000, 50000, 99999}) {
    const auto [begin, end] = layout_window(tokens, anchor);
    EXPECT_LE(begin, anchor);
    EXPECT_GT(end, anchor);
    EXPECT_LE(end - begin, 6000);
  }
}

}  // namespace
}  // namespace orrery
