#include "engine/chat_template.h"

#include <algorithm>
#include <optional>
#include <span>

#include "engine/chat_encoding.h"
#include "engine/formats/quoted.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/parser.h"

namespace orrery {
namespace {

// What tells a family: the marker that begins a message, and what a chat {user} has right before and after its content.
struct FamilyShape {
  ChatFamily family;
  std::string_view marker;
  std::string_view before_user;
  std::string_view after_user;
  std::vector<std::string_view> tokens;  // that the vocabulary must have
  // The plainest template of the family, for a vocabulary that comes without one.
  std::string_view plain_template;
};

std::span<const FamilyShape> family_shapes() {
  static const std::vector<FamilyShape> kShapes = {
      {ChatFamily::kChatMl,
       "<|im_start|>",
       "<|im_start|>user\n",
       "<|im_end|>\n<|im_start|>assistant\n",
       {"<|im_start|>", "<|im_end|>"},
       "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
       "{{ '<|im_start|>assistant\n' }}"},
      {ChatFamily::kLlama3,
       "<|start_header_id|>",
       "<|start_header_id|>user<|end_header_id|>\n\n",
       "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
       {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
       "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + "
       "'<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"},
      {ChatFamily::kGemma,
       "<start_of_turn>",
       "<start_of_turn>user\n",
       "<end_of_turn>\n<start_of_turn>model\n",
       {"<start_of_turn>", "<end_of_turn>"},
       "{% set ns = namespace(first='') %}{% for m in messages %}{% if m.role == 'system' %}"
       "{% set ns.first = m.content + '\n\n' %}{% else %}"
       "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\n' + ns.first + m.content | trim + "
       "'<end_of_turn>\n' }}{% set ns.first = '' %}{% endif %}{% endfor %}{{ '<start_of_turn>model\n' }}"},
      {ChatFamily::kGranite,
       "<|start_of_role|>",
       "<|start_of_role|>user<|end_of_role|>",
       "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
       {"<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"},
       ""},
      // Their markers may be plain text (Mistral-7B-Instruct-v0.1, Llama-2).
      {ChatFamily::kMistral, "[INST]", "[INST]", "[/INST]", {}, ""},
  };
  return kShapes;
}

const FamilyShape& shape_of(ChatFamily family) {
  const std::span<const FamilyShape> shapes = family_shapes();
  if (family == ChatFamily::kLfm2) family = ChatFamily::kChatMl;
  return *std::find_if(shapes.begin(), shapes.end(), [&](const FamilyShape& shape) { return shape.family == family; });
}

Error unknown(std::string why) { return Error{ErrorCode::kUnsupported, std::move(why)}; }

// Mistral's markers have a space on their inner side, or none.
bool fits(const FamilyShape& shape, std::string_view before, std::string_view after) {
  if (shape.family == ChatFamily::kMistral) {
    if (before.ends_with(' ')) before.remove_suffix(1);
    if (after.starts_with(' ')) after.remove_prefix(1);
  }
  return before.ends_with(shape.before_user) && after.starts_with(shape.after_user);
}

// --- placeholders: what stands for a content while the template runs ---

// Around the name lies white space that says how the template strips: line breaks, then a tab that only a full strip
// takes. No template writes as many line breaks.
constexpr std::string_view kBreaks = "\n\n\n\n\n\n";
constexpr char kTab = '\v';

std::string placeholder_name(size_t i) { return "qzcontent" + std::to_string(i) + "zq"; }

std::string placeholder(size_t i) {
  return std::string(kBreaks) + kTab + placeholder_name(i) + kTab + std::string(kBreaks);
}

// The content as the template would have stripped it, told by what is left of the white space at the ends of `before`
// and `after`; that white space is taken off them.
std::string_view strip_alike(std::string_view content, std::string_view& before, std::string_view& after) {
  const std::string line_break = "\n";
  if (before.ends_with(kTab)) {
    before.remove_suffix(1);
    if (before.ends_with(kBreaks)) {
      before.remove_suffix(kBreaks.size());
    } else {
      content = jinja::strip(content, true, false, &line_break);
    }
  } else {
    content = jinja::strip(content, true, false);
  }
  if (after.starts_with(kTab)) {
    after.remove_prefix(1);
    if (after.starts_with(kBreaks)) {
      after.remove_prefix(kBreaks.size());
    } else {
      content = jinja::strip(content, false, true, &line_break);
    }
  } else {
    content = jinja::strip(content, false, true);
  }
  return content;
}

jinja::Value messages_value(const std::vector<ChatMessage>& messages) {
  jinja::ListValue list;
  for (size_t i = 0; i < messages.size(); ++i) {
    jinja::DictValue message;
    message.members = {{"role", jinja::Value::of(std::string(chat_role_name(messages[i].role)))},
                       {"content", jinja::Value::of(placeholder(i))}};
    list.items.push_back(jinja::Value::of(std::move(message)));
  }
  list.depth = 2;
  return jinja::Value::of(std::move(list));
}

// Appends what the template wrote between two contents: up to the last marker it belongs to the message before.
void append_written(std::string_view text, std::string_view marker, ChatRole before, ChatRole after,
                    std::vector<ChatPiece>& pieces) {
  const size_t cut = std::min(text.rfind(marker), text.size());
  if (cut > 0) pieces.push_back({before, false, std::string(text.substr(0, cut))});
  if (cut < text.size()) pieces.push_back({after, false, std::string(text.substr(cut))});
}

std::string joined(const std::vector<ChatPiece>& pieces) {
  std::string text;
  for (const ChatPiece& piece : pieces) text += piece.text;
  return text;
}

std::tm local_today() {
  const std::time_t now = std::time(nullptr);
  std::tm today{};
  localtime_r(&now, &today);
  return today;
}

}  // namespace

std::string_view chat_role_name(ChatRole role) {
  static constexpr std::string_view kNames[] = {"system", "user", "assistant"};
  return kNames[static_cast<size_t>(role)];
}

std::string_view chat_family_name(ChatFamily family) {
  static constexpr std::string_view kNames[] = {"ChatML", "LFM2", "Llama-3", "Gemma", "Mistral", "Granite"};
  return kNames[static_cast<size_t>(family)];
}

Result<ChatTemplate> ChatTemplate::recognise(std::string_view jinja, ChatSurroundings surroundings) {
  ChatTemplate result;
  ORRERY_ASSIGN_OR_RETURN(jinja::Body body, jinja::parse_template(jinja));
  result.body_ = std::make_shared<const jinja::Body>(std::move(body));
  result.surroundings_ = std::move(surroundings);
  ORRERY_RETURN_IF_ERROR(result.recognise_family());
  ORRERY_RETURN_IF_ERROR(result.look_at_system());
  return result;
}

// Runs the template on a chat of a question, and on one that goes on after an answer.
Result<void> ChatTemplate::recognise_family() {
  const ChatMessage user{ChatRole::kUser, "a"};
  ORRERY_ASSIGN_OR_RETURN(const std::vector<ChatPiece> first, lay_out({user}));
  const auto content = [](const ChatPiece& piece) { return piece.is_content; };
  const auto question = std::find_if(first.begin(), first.end(), content);
  const std::string before = joined({first.begin(), question});
  const std::string after = joined({question + 1, first.end()});
  const std::span<const FamilyShape> shapes = family_shapes();
  const auto shape =
      std::find_if(shapes.begin(), shapes.end(), [&](const FamilyShape& one) { return fits(one, before, after); });
  if (shape == shapes.end()) return unknown("it belongs to no family that is known");
  family_ = shape->family;
  if (family_ == ChatFamily::kChatMl && surroundings_.bos == "<|startoftext|>") family_ = ChatFamily::kLfm2;

  ORRERY_ASSIGN_OR_RETURN(const std::vector<ChatPiece> longer, lay_out({user, {ChatRole::kAssistant, "b"}, user}));
  const auto old_question = std::find_if(longer.begin(), longer.end(), content);
  const auto answer = std::find_if(old_question + 1, longer.end(), content);
  const auto new_question = std::find_if(answer + 1, longer.end(), content);
  if (joined({longer.begin(), old_question}) != before || joined({new_question + 1, longer.end()}) != after ||
      !fits(*shape, joined({answer + 1, new_question}), after)) {
    return unknown("it writes a further question in another way than the first");
  }
  return {};
}

// Runs the template with a system message, to see whether it takes one and what it puts in without.
Result<void> ChatTemplate::look_at_system() {
  const ChatMessage user{ChatRole::kUser, "a"};
  const Result<std::vector<ChatPiece>> with = lay_out({{ChatRole::kSystem, "s"}, user});
  if (!with) {
    no_system_ = with.error().message;
    return {};
  }
  const auto content = [](const ChatPiece& piece) { return piece.is_content; };
  const auto system = std::find_if(with->begin(), with->end(), content);
  const std::string opening = joined({with->begin(), system});
  const std::string closing = joined({system + 1, std::find_if(system + 1, with->end(), content)});
  ORRERY_ASSIGN_OR_RETURN(const std::vector<ChatPiece> without, lay_out({user}));
  const std::string put_in = joined({without.begin(), std::find_if(without.begin(), without.end(), content)});
  if (put_in.size() > opening.size() + closing.size() && put_in.starts_with(opening) && put_in.ends_with(closing)) {
    default_system_ = put_in.substr(opening.size(), put_in.size() - opening.size() - closing.size());
  }
  return {};
}

Result<void> ChatTemplate::check_vocabulary(const Tokenizer& tokenizer) const {
  for (const std::string_view token : shape_of(family_).tokens) {
    if (!tokenizer.find(token)) return unknown("the vocabulary lacks " + std::string(token));
  }
  return {};
}

Result<ChatTemplate> ChatTemplate::from_tokenizer(const Tokenizer& tokenizer, std::string_view model_name) {
  ChatSurroundings surroundings{
      .bos = tokenizer.bos() ? std::string(tokenizer.token_text(*tokenizer.bos())) : std::string(),
      .eos = tokenizer.eos() ? std::string(tokenizer.token_text(*tokenizer.eos())) : std::string(),
      .today = local_today()};
  std::string source(tokenizer.chat_template());
  if (source.empty()) {
    for (const FamilyShape& shape : family_shapes()) {
      const auto has = [&](std::string_view token) { return tokenizer.find(token).has_value(); };
      if (shape.plain_template.empty() || !std::all_of(shape.tokens.begin(), shape.tokens.end(), has)) continue;
      if (!source.empty()) {
        return unknown(
            "the model has no chat template, and markers of several kinds; give a prompt with its control "
            "tokens spelled out instead (--prompt): " +
            std::string(model_name));
      }
      source = std::string(tokenizer.adds_bos() ? "{{ bos_token }}" : "") + std::string(shape.plain_template);
    }
  }
  if (source.empty()) {
    return Error{ErrorCode::kNotFound,
                 "the model has no chat template; give a prompt instead (--prompt): " + std::string(model_name)};
  }
  Result<ChatTemplate> known = recognise(source, std::move(surroundings));
  const Result<void> fits_vocabulary = known ? known->check_vocabulary(tokenizer) : Result<void>(known.error());
  if (fits_vocabulary) return known;
  return unknown(
      "the chat template of " + std::string(model_name) +
      " is not known (ChatML, LFM2, Llama-3, Gemma, Mistral and Granite are): " + fits_vocabulary.error().message +
      "; give a prompt with its control tokens spelled out instead (--prompt): " + in_quotes(source, 60));
}

Result<std::vector<ChatPiece>> ChatTemplate::lay_out(const std::vector<ChatMessage>& messages) const {
  const auto text = [](const std::string& value) { return jinja::Value::of(value); };
  const jinja::Surroundings surroundings{.variables = {{"messages", messages_value(messages)},
                                                       {"add_generation_prompt", jinja::Value::of(true)},
                                                       {"bos_token", text(surroundings_.bos)},
                                                       {"eos_token", text(surroundings_.eos)},
                                                       {"tools", jinja::Value::none()},
                                                       {"documents", jinja::Value::none()}},
                                         .today = surroundings_.today};
  ORRERY_ASSIGN_OR_RETURN(const std::string whole, jinja::render(*body_, surroundings));
  // In the order of writing, which need not be that of the messages: some templates move the system's to the last one.
  std::vector<std::pair<size_t, size_t>> found;  // where, which message
  for (size_t i = 0; i < messages.size(); ++i) {
    const size_t at = whole.find(placeholder_name(i));
    const std::string role(chat_role_name(messages[i].role));
    if (at == std::string::npos) return unknown("the chat template leaves out a message of the " + role);
    if (whole.rfind(placeholder_name(i)) != at) return unknown("the chat template repeats a message of the " + role);
    found.emplace_back(at, i);
  }
  std::sort(found.begin(), found.end());
  const std::string_view marker = shape_of(family_).marker;
  std::vector<ChatPiece> pieces;
  std::string_view rest = whole;
  ChatRole before = ChatRole::kAssistant;
  for (const auto& [at, i] : found) {
    std::string_view written = rest.substr(0, at - (whole.size() - rest.size()));
    rest.remove_prefix(written.size() + placeholder_name(i).size());
    const std::string_view content = strip_alike(messages[i].content, written, rest);
    if (pieces.empty()) {
      // What a template writes before the first message by itself is the system's; BOS goes with what follows.
      const std::string_view own = written.substr(0, std::min(written.rfind(marker), written.size()));
      before = own.size() == written.size() || own == surroundings_.bos ? messages[i].role : ChatRole::kSystem;
    }
    append_written(written, marker, before, messages[i].role, pieces);
    pieces.push_back({messages[i].role, true, std::string(content)});
    before = messages[i].role;
  }
  append_written(rest, marker, before, ChatRole::kAssistant, pieces);
  return pieces;
}

Result<std::vector<ChatSegment>> ChatTemplate::render(const Tokenizer& tokenizer,
                                                      const std::vector<ChatMessage>& messages) const {
  if (!no_system_.empty() && !messages.empty() && messages.front().role == ChatRole::kSystem) {
    return Error{ErrorCode::kUnsupported, "the model's chat template takes no system message: " + no_system_};
  }
  ORRERY_ASSIGN_OR_RETURN(const std::vector<ChatPiece> pieces, lay_out(messages));
  return encode_chat(tokenizer, pieces);
}

Result<std::vector<ChatSegment>> ChatTemplate::render_next(const Tokenizer& tokenizer, std::string content,
                                                           int32_t last_id) const {
  const ChatMessage user{ChatRole::kUser, "a"};
  ORRERY_ASSIGN_OR_RETURN(std::vector<ChatPiece> pieces,
                          lay_out({user, {ChatRole::kAssistant, "b"}, {ChatRole::kUser, std::move(content)}}));
  const auto is_content = [](const ChatPiece& piece) { return piece.is_content; };
  const auto answer =
      std::find_if(std::find_if(pieces.begin(), pieces.end(), is_content) + 1, pieces.end(), is_content);
  pieces.erase(pieces.begin(), answer + 1);
  ORRERY_ASSIGN_OR_RETURN(std::vector<ChatSegment> segments, encode_chat(tokenizer, pieces));
  if (segments.empty() || segments.front().ids.front() != last_id) return segments;
  segments.front().ids.erase(segments.front().ids.begin());
  if (segments.front().ids.empty()) segments.erase(segments.begin());
  return segments;
}

}  // namespace orrery
