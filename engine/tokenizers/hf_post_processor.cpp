#include "engine/tokenizers/hf_post_processor.h"

#include <string>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_model.h"

namespace orrery {
namespace {

constexpr size_t kMaxIdsAround = 1024;

Result<int32_t> read_id(const HfObject& object, const nlohmann::json& id) {
  if (!id.is_number_integer() || id < 0 || id >= HfModel::kMaxIds) {
    return object.invalid("puts something around texts that is no id: " + shown(id));
  }
  return id.get<int32_t>();
}

// The ids of a special token of a template: special_tokens[name].ids.
Result<std::vector<int32_t>> ids_of(const HfObject& object, const std::string& name) {
  const nlohmann::json* tokens = object.find("special_tokens");
  std::vector<int32_t> ids;
  if (tokens == nullptr || !tokens->is_object() || !tokens->contains(name)) {
    return object.invalid("has no special token called " + in_quotes(name));
  }
  ORRERY_ASSIGN_OR_RETURN(const HfObject token, as_hf_object((*tokens)[name], object.where));
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, token.list("ids"));
  for (const nlohmann::json& item : *list) {
    ORRERY_ASSIGN_OR_RETURN(const int32_t id, read_id(object, item));
    ids.push_back(id);
  }
  return ids;
}

Error not_once(const HfObject& object) {
  return {ErrorCode::kUnsupported, object.where + " does not hold the text exactly once"};
}

// "single": pieces that are {"SpecialToken": {"id": name}} or {"Sequence": {"id": "A"}}.
Result<HfFrame> read_template(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* pieces, object.list("single"));
  HfFrame frame;
  bool has_text = false;
  for (const nlohmann::json& item : *pieces) {
    if (item.is_object() && item.contains("Sequence")) {
      ORRERY_ASSIGN_OR_RETURN(const HfObject sequence, as_hf_object(item["Sequence"], object.where));
      const nlohmann::json* id = sequence.find("id");
      if (has_text || id == nullptr || *id != "A") return not_once(object);
      has_text = true;
      continue;
    }
    if (!item.is_object() || !item.contains("SpecialToken")) {
      return object.invalid("has a piece that is neither a text nor a token: " + shown(item));
    }
    ORRERY_ASSIGN_OR_RETURN(const HfObject token, as_hf_object(item["SpecialToken"], object.where));
    ORRERY_ASSIGN_OR_RETURN(const std::string name, token.text("id"));
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ids_of(object, name));
    std::vector<int32_t>& side = has_text ? frame.suffix : frame.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
    if (side.size() > kMaxIdsAround) return object.invalid("puts too many ids around a text");
  }
  if (!has_text) return not_once(object);
  return frame;
}

// BertProcessing, RobertaProcessing: "cls" before and "sep" behind, each [text, id].
Result<HfFrame> read_cls_and_sep(const HfObject& object) {
  HfFrame frame;
  for (const auto& [key, side] : {std::pair("cls", &frame.prefix), std::pair("sep", &frame.suffix)}) {
    ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* pair, object.list(key));
    if (pair->size() != 2) return object.wrong(key, "a pair of a text and an id");
    ORRERY_ASSIGN_OR_RETURN(const int32_t id, read_id(object, (*pair)[1]));
    side->push_back(id);
  }
  return frame;
}

// Each works on what the one before left, so the last stands outermost.
Result<HfFrame> read_sequence(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, object.list("processors"));
  HfFrame all;
  for (const nlohmann::json& item : *list) {
    ORRERY_ASSIGN_OR_RETURN(const HfObject step, as_hf_object(item, object.where));
    ORRERY_ASSIGN_OR_RETURN(const HfFrame frame, HfFrame::read(step));
    all.prefix.insert(all.prefix.begin(), frame.prefix.begin(), frame.prefix.end());
    all.suffix.insert(all.suffix.end(), frame.suffix.begin(), frame.suffix.end());
    if (all.prefix.size() + all.suffix.size() > kMaxIdsAround) {
      return object.invalid("puts too many ids around a text");
    }
  }
  return all;
}

}  // namespace

Result<HfFrame> HfFrame::read(const HfObject& post_processor) {
  ORRERY_ASSIGN_OR_RETURN(const std::string type, post_processor.text("type"));
  const HfObject named{post_processor.json, post_processor.where + " " + printable(type)};
  if (type == "TemplateProcessing") return read_template(named);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_cls_and_sep(named);
  if (type == "ByteLevel") return HfFrame();  // moves offsets only
  if (type == "Sequence") return read_sequence(post_processor);
  return Error{ErrorCode::kUnsupported,
               post_processor.where + " is of a kind that is not supported: " + in_quotes(type)};
}

}  // namespace orrery
