#include "app/prompt.h"

#include <gmock/gmock.h>

#include <fstream>

#include "app/commands/console.h"
#include "app/fingerprint.h"
#include "app/text.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::asset;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::open_tiny;
using testing::TemporaryFolder;

TEST(ParseIds, TakesCommasWhiteSpaceAndFiles) {
  EXPECT_THAT(*parse_ids("1, 2,3\n4\t5", "--tokens"), ElementsAre(1, 2, 3, 4, 5));
  const TemporaryFolder folder;
  std::ofstream(folder.file("ids.txt")) << "7\n8 9,10\n";
  EXPECT_THAT(*parse_ids("@" + folder.file("ids.txt"), "--tokens"), ElementsAre(7, 8, 9, 10));
  for (const char* wrong : {"", " , ", "1,x", "-1", "99999999999", "1.5", "@/nowhere"}) {
    const auto ids = parse_ids(wrong, "--tokens");
    ASSERT_FALSE(ids) << wrong;
    EXPECT_THAT(ids.error().message, HasSubstr("--tokens"));
  }
}

TEST(PreparePrompt, RefusesEmptyInvalidAndOverlongPrompts) {
  const OpenedModel opened = open_tiny();
  EXPECT_FALSE(prepare_prompt(PromptKind::kPrompt, "", opened));
  const auto invalid = prepare_prompt(PromptKind::kPrompt, "good \xC3\x28", opened);
  ASSERT_FALSE(invalid);
  EXPECT_THAT(invalid.error().message, HasSubstr("UTF-8"));
  EXPECT_THAT(invalid.error().message, HasSubstr("5"));
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "word ";
  const auto overlong = prepare_prompt(PromptKind::kPrompt, text, opened);
  ASSERT_FALSE(overlong);
  EXPECT_THAT(overlong.error().message, HasSubstr("too long"));
  EXPECT_FALSE(prepare_prompt(PromptKind::kTokens, "100000", opened));
}

TEST(PreparePrompt, AddsBosToTextsAndNothingToIds) {
  const OpenedModel opened = open_tiny();
  ASSERT_TRUE(opened.tokenizer->adds_bos());
  const auto text = prepare_prompt(PromptKind::kPrompt, "Hello", opened);
  ASSERT_TRUE(text);
  EXPECT_EQ(text->tokens.front().id, *opened.tokenizer->bos());
  EXPECT_EQ(text->tokens.front().segment, Segment::kUser);
  const auto ids = prepare_prompt(PromptKind::kTokens, "40,41", opened);
  ASSERT_TRUE(ids);
  ASSERT_EQ(ids->tokens.size(), 2u);
  EXPECT_EQ(ids->tokens[1].segment, Segment::kForced);
  EXPECT_EQ(ids->tokens[1].bytes, opened.tokenizer->token_bytes(41));
}

TEST(PrepareReading, TakesATextAsItStands) {
  const OpenedModel opened = open_tiny();
  const std::string marker = opened.tokenizer->token_bytes(*opened.tokenizer->bos());
  const std::string text = "Hello " + marker + " there";
  const auto first = prepare_reading(text, opened, true);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->tokens.front().id, *opened.tokenizer->bos()) << "a run begins as the tokenizer says";
  const auto later = prepare_reading(text, opened, false);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->tokens.size() + 1, first->tokens.size());
  std::string read;
  for (const Token& token : later->tokens) {
    EXPECT_EQ(token.segment, Segment::kForced);
    EXPECT_NE(token.id, *opened.tokenizer->bos()) << "a marker in the text is text";
    read += token.bytes;
  }
  EXPECT_THAT(read, HasSubstr("Hello <")) << "the tiny vocabulary has no other character of it";
  EXPECT_THAT(read, HasSubstr("> there"));
  EXPECT_FALSE(prepare_reading("", opened, false));
  EXPECT_FALSE(prepare_reading("bad \xC3\x28", opened, false));
  std::string overlong;
  for (int i = 0; i < 2000; ++i) overlong += "word ";
  EXPECT_THAT(prepare_reading(overlong, opened, false).error().message, HasSubstr("too long"));
  const auto ids = prepare_reading("4, 5", open_tiny("tiny-llama-a"), false);
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->tokens.back().id, 5) << "a model without a tokenizer reads ids";
}

TEST(PreparePrompt, NeedsATokenizerForTextOnly) {
  const OpenedModel opened = open_tiny("tiny-llama-a");
  const auto text = prepare_prompt(PromptKind::kPrompt, "Hello", opened);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("--tokens"));
  EXPECT_TRUE(prepare_prompt(PromptKind::kTokens, "1,2", opened));
}

TEST(Fingerprint, IsOfWhatAModelIsNotOfWhereItLies) {
  const TemporaryFolder folder;
  const std::string copy = folder.file("copy.gguf");
  std::filesystem::copy_file(asset("models/tiny-llama-c.q8_0.gguf"), copy);
  const auto original = ModelFile::open(asset("models/tiny-llama-c.q8_0.gguf"));
  ASSERT_TRUE(original);
  EXPECT_EQ(model_fingerprint(**original), model_fingerprint(**ModelFile::open(copy)));
  const auto other = ModelFile::open(asset("models/tiny-llama-c.f32.gguf"));
  ASSERT_TRUE(other);
  EXPECT_NE(model_fingerprint(**original), model_fingerprint(**other));
  {
    std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-40, std::ios::end);
    file.put('\x55');
  }
  EXPECT_NE(model_fingerprint(**original), model_fingerprint(**ModelFile::open(copy))) << "one changed weight";
}

TEST(Printable, KeepsControlSequencesFromTheTerminal) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\td"), "a\xEF\xBF\xBD[31mb\nc\td");
  EXPECT_EQ(printable("\xC2\x9B\x7F\r"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(printable("caf\xC3\xA9 \xF0\x9F\x98\x80"), "caf\xC3\xA9 \xF0\x9F\x98\x80");
  EXPECT_EQ(valid_utf8("a\xE2\x82"), "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace
}  // namespace orrery
