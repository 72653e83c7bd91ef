#include "engine/tokenizers/pre_tokenizer_families.h"

#include <algorithm>
#include <array>

namespace orrery {
namespace {

using Kind = SplitStage::Kind;
using WholeWords = PreTokenizerFamily::WholeWords;

// The patterns published with the vocabularies, as llama.cpp reads them: it knows no case of letters beyond ASCII.
// Alternatives in this order, first match wins; where a rewriting saves backtracking, it matches the same.

#define CONTRACTION "'(?i:[sdmt]|ll|ve|re)"
#define SPACES "\\s+(?!\\S)|\\s+"
#define GPT2 "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define OTHERS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define LINE_BREAKS "\\s*[\\r\\n]+"
#define LLAMA3(digits) CONTRACTION "|" WORD "|" digits "|" OTHERS "|" LINE_BREAKS "|" SPACES
// Words of large letters, then small ones, then a contraction; and with `marks`, what counts as either.
#define CASED(marks)                                                                     \
  "[^\\r\\n\\p{L}\\p{N}]?[A-Z\\p{L>}" marks "]*[a-z\\p{L>}" marks "]+(?:" CONTRACTION    \
  ")?|[^\\r\\n\\p{L}\\p{N}]?[A-Z\\p{L>}" marks "]+[a-z\\p{L>}" marks "]*(?:" CONTRACTION \
  ")?|\\p{N}{1,3}|"                                                                      \
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINE_BREAKS "|" SPACES
#define MARKED_WORD "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+"
#define DEEPSEEK3_WORDS                                                                                \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" \
  " ?[\\p{P}\\p{S}]+"
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define CJK_AND_MORE "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define EUROPEAN_LETTERS                                                                                         \
  "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"                \
  "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}" \
  "\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"     \
  "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}"              \
  "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}"              \
  "\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}"      \
  "\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"     \
  "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}"      \
  "\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}"                \
  "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"      \
  "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"               \
  "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"              \
  "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}"        \
  "\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"
// A run of white space at the end: tried at its first character only.
#define SPACES_AT_END "(?<!\\s)\\s++$"
#define SENTENCE_PARTS " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"

constexpr SplitStage kGpt2[] = {{Kind::kCategories, GPT2}};
constexpr SplitStage kDigitThenGpt2[] = {{Kind::kCategories, "\\p{N}"}, {Kind::kCategories, GPT2}};
constexpr SplitStage kDefault[] = {{Kind::kCategories, "[\\p{P}$+<=>^~|]+"},
                                   {Kind::kCategories, GPT2},
                                   {Kind::kCategories, "\\p{N}+"},
                                   {Kind::kCharacters, "[0-9]{3}"}};
constexpr SplitStage kFalcon[] = {
    {Kind::kCategories, "[\\p{P}$+<=>^~|`]+"}, {Kind::kCategories, GPT2}, {Kind::kCharacters, "[0-9]{3}"}};
constexpr SplitStage kLlama3[] = {{Kind::kCategories, LLAMA3("\\p{N}{1,3}")}};
constexpr SplitStage kQwen2[] = {{Kind::kCategories, LLAMA3("\\p{N}")}};
constexpr SplitStage kQwen35[] = {{Kind::kCategories,
                                   CONTRACTION "|" MARKED_WORD
                                               "|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kJais2[] = {
    {Kind::kCategories,
     CONTRACTION "|" WORD "|\\p{N}{1,3}|" OTHERS "|" LINE_BREAKS
                 "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}"
                 "(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s"}};
constexpr SplitStage kDeepseekLlm[] = {
    {Kind::kCharacters, "[\\r\\n]"},
    {Kind::kCharacters, "\\s?[" EUROPEAN_LETTERS "]+"},
    {Kind::kCharacters, "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"},
    {Kind::kCharacters, SPACES_AT_END},
    {Kind::kCharacters, CJK_AND_MORE},
    {Kind::kCategories, "\\p{N}+"}};
constexpr SplitStage kDeepseekCoder[] = {{Kind::kCharacters, "[\\r\\n]"},
                                         {Kind::kCategories, "\\s?\\p{L}+"},
                                         {Kind::kCategories, "\\s?\\p{P}+"},
                                         {Kind::kCharacters, CJK_AND_MORE},
                                         {Kind::kCategories, "\\p{N}"}};
constexpr SplitStage kDeepseek3[] = {{Kind::kCategories, "\\p{N}{1,3}"},
                                     {Kind::kCharacters, CJK},
                                     {Kind::kCategories, DEEPSEEK3_WORDS "[\\r\\n]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kSpark[] = {{Kind::kCategories, "\\p{N}{1,3}"},
                                 {Kind::kCharacters, CJK},
                                 {Kind::kCategories, DEEPSEEK3_WORDS "|[\\r\\n]|" SPACES},
                                 {Kind::kCategories, "\\p{N}"}};
constexpr SplitStage kYoutu[] = {
    {Kind::kCharacters,
     "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}\\x{"
     "ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+|" CJK},
    {Kind::kCategories,
     MARKED_WORD "(?:" CONTRACTION ")?|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kPoro[] = {{Kind::kCharacters, SENTENCE_PARTS}};
constexpr SplitStage kViking[] = {{Kind::kCharacters, SENTENCE_PARTS}, {Kind::kCategories, "\\p{N}"}};
constexpr SplitStage kTekken[] = {
    {Kind::kCategories,
     "[^\\r\\n\\p{L}\\p{N}]?[A-Z\\p{L>}]*[a-z\\p{L>}]+|[^\\r\\n\\p{L}\\p{N}]?[A-Z\\p{L>}]+[a-z\\p{L>}]*|\\p{N}|"
     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kChameleon[] = {
    {Kind::kCharacters, "<sentinel:[0-9]+>"},      {Kind::kCharacters, "IMGIMG[A-I]{1,4}Z"},
    {Kind::kCharacters, "[\\t\\n]|    |  "},       {Kind::kCategories, "\\p{N}"},
    {Kind::kCategories, "[\\p{P}!-/:-@\\[-`{-~]"}, {Kind::kCategories, GPT2}};
constexpr SplitStage kGpt4o[] = {{Kind::kCategories, CASED("")}};
constexpr SplitStage kGraniteMultilingual[] = {{Kind::kCategories, CASED("\\p{M}")}};
constexpr SplitStage kTinyAya[] = {
    {Kind::kThreesByNumbers, nullptr},
    {Kind::kCategories,
     MARKED_WORD "(?:" CONTRACTION ")?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kKimi[] = {{Kind::kCategories,
                                 "\\p{Han}+|[^\\r\\n\\p{L}\\p{Han}\\p{N}]?\\p{L}+(?:" CONTRACTION
                                 ")?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{Han}\\p{N}]+[\\r\\n]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kSuperBpe[] = {{Kind::kCategories, "\\p{N}+"}, {Kind::kThreesByDigits, nullptr}};
constexpr SplitStage kBailing[] = {{Kind::kCategories, CONTRACTION "|" WORD "|\\p{N}|" OTHERS "|\\s*[\\r\\n]|" SPACES}};
constexpr SplitStage kSeedCoder[] = {
    {Kind::kCategories, CONTRACTION "|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kUfakzeka[] = {{Kind::kCategories, WORD "|\\p{N}|" OTHERS "|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kAfmoe[] = {
    {Kind::kThreesByNumbers, nullptr},
    {Kind::kCharacters,
     "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{8c48}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}"
     "\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}"
     "\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+"},
    {Kind::kCategories, DEEPSEEK3_WORDS "[\\r\\n]*|" LINE_BREAKS "|" SPACES}};
constexpr SplitStage kLaguna[] = {{Kind::kCharacters, "[^\\n]+|\\n+"}, {Kind::kCategories, LLAMA3("\\p{N}")}};
constexpr SplitStage kExaoneMoe[] = {{Kind::kCategories,
                                      CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}(?:[\\p{L}\\p{M}]++| \\p{L})*+|\\p{N}| "
                                                  "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|" SPACES}};
constexpr SplitStage kLines[] = {{Kind::kCharacters, "[^\\n]+|\\n+"}};
constexpr SplitStage kMiniCpm5[] = {{Kind::kCategories, "\\p{N}{1,3}"}, {Kind::kCategories, LLAMA3("\\p{N}+")}};

constexpr PreTokenizerFamily kFamilies[] = {
    {.names = {"default"}, .stages = kDefault},
    {.names = {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
               "modern-bert", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling"},
     .stages = kGpt2},
    {.names = {"jina-v1-en", "jina-v2-code", "roberta-bpe"}, .stages = kGpt2, .needs_separator = true},
    {.names = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
     .stages = kDigitThenGpt2},
    {.names = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
               "jina-v5-nano"},
     .stages = kLlama3,
     .whole_words = WholeWords::kAlways,
     .adds_bos = true},
    {.names = {"dbrx", "smaug-bpe"}, .stages = kLlama3},
    {.names = {"glm4"}, .stages = kLlama3, .whole_words = WholeWords::kAlways, .has_default_bos = false},
    {.names = {"chatglm-bpe"}, .stages = kLlama3, .has_default_bos = false},
    {.names = {"jais-2"}, .stages = kJais2},
    {.names = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open",
               "grok-2"},
     .stages = kQwen2},
    {.names = {"qwen35"}, .stages = kQwen35},
    {.names = {"deepseek-llm"}, .stages = kDeepseekLlm},
    {.names = {"deepseek-coder"}, .stages = kDeepseekCoder},
    {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"}, .stages = kDeepseek3},
    {.names = {"spark2_5"}, .stages = kSpark},
    {.names = {"youtu"}, .stages = kYoutu, .whole_words = WholeWords::kAlways},
    {.names = {"falcon"}, .stages = kFalcon},
    {.names = {"poro-chat", "bloom", "gpt3-finnish"}, .stages = kPoro},
    {.names = {"viking"}, .stages = kViking},
    {.names = {"tekken"}, .stages = kTekken, .whole_words = WholeWords::kAlways, .adds_bos = true},
    {.names = {"chameleon"}, .stages = kChameleon, .adds_bos = true},
    {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, .stages = kGpt4o},
    {.names = {"granite-embed-multi-97m"}, .stages = kGraniteMultilingual, .whole_words = WholeWords::kAlways},
    {.names = {"tiny_aya", "cohere2moe"}, .stages = kTinyAya},
    {.names = {"kimi-k2"}, .stages = kKimi, .tells_han = true},
    {.names = {"superbpe"}, .stages = kSuperBpe},
    {.names = {"bailingmoe", "bailingmoe2", "llada-moe"}, .stages = kBailing},
    {.names = {"seed-coder"}, .stages = kSeedCoder},
    {.names = {"ufakzeka"}, .stages = kUfakzeka},
    {.names = {"afmoe"}, .stages = kAfmoe},
    {.names = {"laguna"}, .stages = kLaguna},
    {.names = {"exaone-moe"}, .stages = kExaoneMoe},
    {.names = {"minicpm5"}, .stages = kMiniCpm5, .whole_words = WholeWords::kAlways},
    {.names = {"gemma4", "granite-embed-multi-311m"},
     .stages = kLines,
     .whole_words = WholeWords::kLineBreaks,
     .always_adds_bos = true,
     .spells_bytes = false,
     .escapes_white_space = true},
    {.names = {"sarvam-moe"}, .stages = kLines, .spells_bytes = false, .escapes_white_space = true},
};

}  // namespace

const PreTokenizerFamily* find_pre_tokenizer_family(std::string_view name) {
  if (name.empty()) name = "default";
  const auto* const found = std::find_if(std::begin(kFamilies), std::end(kFamilies), [&](const auto& family) {
    return std::find(family.names.begin(), family.names.end(), name) != family.names.end();
  });
  return found == std::end(kFamilies) ? nullptr : found;
}

std::span<const PreTokenizerFamily> pre_tokenizer_families() { return kFamilies; }

}  // namespace orrery
