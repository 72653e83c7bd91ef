#include "engine/tokenizers/hf_model.h"

#include <array>
#include <unordered_set>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_bpe.h"
#include "engine/tokenizers/hf_unigram.h"
#include "engine/tokenizers/hf_words.h"

namespace orrery {
namespace {

// Files from before models said their type: what they hold tells.
Result<std::string> kind_of(const HfObject& object) {
  if (object.find("type") != nullptr) return object.text("type");
  const nlohmann::json* vocabulary = object.find("vocab");
  if (object.find("merges") != nullptr) return std::string("BPE");
  if (object.find("max_input_chars_per_word") != nullptr) return std::string("WordPiece");
  if (vocabulary != nullptr && vocabulary->is_array()) return std::string("Unigram");
  if (vocabulary != nullptr && object.find("unk_token") != nullptr) return std::string("WordLevel");
  return object.wrong("type", "a text");
}

}  // namespace

Result<std::unique_ptr<const HfModel>> HfModel::make(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const std::string kind, kind_of(object));
  if (kind == "BPE") return HfBpe::read(object);
  if (kind == "Unigram") return HfUnigram::read(object);
  if (kind == "WordPiece") return HfWordPiece::read(object);
  if (kind == "WordLevel") return HfWordLevel::read(object);
  return Error{ErrorCode::kUnsupported, object.where + " is of a kind that is not supported: " + in_quotes(kind)};
}

Result<HfIds> read_hf_vocabulary(const HfObject& model) {
  const nlohmann::json* vocabulary = model.find("vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return model.wrong("vocab", "an object of tokens");
  HfIds ids;
  ids.reserve(vocabulary->size());
  std::unordered_set<int64_t> used;
  used.reserve(vocabulary->size());
  for (const auto& [spelling, id] : vocabulary->items()) {
    if (!id.is_number_integer() || id < 0 || id >= HfModel::kMaxIds) {
      return model.invalid("gives the token " + in_quotes(spelling) + " the id " + shown(id));
    }
    if (!used.insert(id.get<int64_t>()).second) {
      return model.invalid("gives two tokens the same id, one of them " + in_quotes(spelling) + ": " + shown(id));
    }
    ids.emplace(spelling, id.get<int32_t>());
  }
  return ids;
}

std::string hf_byte_token(uint8_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

}  // namespace orrery
