#include "engine/jinja/builtins.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/formats/quoted.h"
#include "engine/jinja/interpreter.h"

namespace orrery::jinja {
namespace {

constexpr std::string_view kFunctions[] = {"raise_exception", "strftime_now", "namespace", "range", "dict"};

std::string mapped(std::string_view text, char first, char last, int shift) {
  std::string result(text);
  for (char& c : result) {
    if (c >= first && c <= last) c = static_cast<char>(c + shift);
  }
  return result;
}
std::string lower(std::string_view text) { return mapped(text, 'A', 'Z', 32); }
std::string upper(std::string_view text) { return mapped(text, 'a', 'z', -32); }

std::string capitalize(std::string_view text) {
  return upper(text.substr(0, 1)) + lower(text.substr(std::min<size_t>(1, text.size())));
}

// An index from the end where it is negative; nothing outside.
std::optional<size_t> index_of(int64_t index, size_t size) {
  const auto n = static_cast<int64_t>(size);
  if (index < 0) index += n;
  if (index < 0 || index >= n) return std::nullopt;
  return static_cast<size_t>(index);
}

}  // namespace

Error fail(std::string what) { return Error{ErrorCode::kUnsupported, std::move(what)}; }

bool is_function(std::string_view name) {
  return std::find(std::begin(kFunctions), std::end(kFunctions), name) != std::end(kFunctions);
}

const Value* Arguments::find(std::string_view name) const {
  for (const auto& [given, value] : named) {
    if (given == name) return &value;
  }
  return nullptr;
}

const Value* Arguments::get(size_t i, std::string_view name) const {
  return i < values.size() ? &values[i] : find(name);
}

const std::string* Arguments::text(size_t i) const { return i < values.size() ? values[i].text() : nullptr; }

Result<std::string> text_of(const Value& value) {
  if (value.text()) return *value.text();
  if (value.is_undefined()) return std::string();
  if (value.is_none()) return std::string("None");
  if (value.boolean()) return std::string(*value.boolean() ? "True" : "False");
  if (value.integer()) return std::to_string(*value.integer());
  return fail(std::string("what it writes as text is ") + value.kind_name());
}

Result<void> Builtins::charge(size_t n_bytes) {
  steps_ += 1 + static_cast<int64_t>(n_bytes / 16);
  if (steps_ > kMaxSteps) return fail("it takes too long");
  return {};
}

Result<Value> Builtins::make_text(std::string text) {
  ORRERY_RETURN_IF_ERROR(charge(text.size()));
  if (text.size() > kMaxTextBytes) return fail("it makes a text that is too long");
  return Value::of(std::move(text));
}

Result<Value> Builtins::make_list(std::vector<Value> items) {
  ORRERY_RETURN_IF_ERROR(charge(items.size() * 16));
  ListValue list;
  for (const Value& item : items) list.depth = std::max(list.depth, item.depth() + 1);
  if (list.depth > kMaxValueDepth) return fail("values nest too deeply");
  list.items = std::move(items);
  return Value::of(std::move(list));
}

Result<Value> Builtins::make_dict(std::vector<std::pair<std::string, Value>> members) {
  ORRERY_RETURN_IF_ERROR(charge(members.size() * 16));
  DictValue dict;
  for (const auto& [name, value] : members) dict.depth = std::max(dict.depth, value.depth() + 1);
  if (dict.depth > kMaxValueDepth) return fail("values nest too deeply");
  dict.members = std::move(members);
  return Value::of(std::move(dict));
}

Result<std::vector<Value>> Builtins::items_of(const Value& value) {
  std::vector<Value> items;
  if (value.list()) {
    ORRERY_RETURN_IF_ERROR(charge(value.list()->items.size() * 16));
    return value.list()->items;
  }
  if (value.dict()) {
    ORRERY_RETURN_IF_ERROR(charge(value.dict()->members.size() * 16));
    for (const auto& [name, member] : value.dict()->members) items.push_back(Value::of(name));
    return items;
  }
  if (value.text()) {  // its characters
    ORRERY_RETURN_IF_ERROR(charge(value.text()->size() * 16));
    for (std::string_view rest = *value.text(); !rest.empty();) {
      const size_t n = std::max<size_t>(utf8_char_length(rest), 1);
      items.push_back(Value::of(std::string(rest.substr(0, n))));
      rest.remove_prefix(n);
    }
    return items;
  }
  if (value.is_undefined()) return items;
  return fail(std::string("it cannot go over ") + value.kind_name());
}

Result<Value> Builtins::attribute(const Value& of, const std::string& name) {
  ORRERY_RETURN_IF_ERROR(charge(of.dict() ? of.dict()->members.size() * 16 : 0));
  if (of.is_undefined()) return fail("it looks into what is not defined: " + name);
  if (of.dict()) {
    if (const Value* member = of.dict()->find(name)) return *member;
  }
  if (of.text() || of.list() || of.dict()) {
    // Methods are looked up when they are called; what is none is undefined, as in "message.tool_calls is defined".
    static constexpr std::string_view kMethods[] = {
        "strip", "lstrip", "rstrip", "startswith", "endswith", "split", "lower",  "upper", "replace",
        "title", "find",   "join",   "capitalize", "get",      "items", "values", "keys"};
    if (std::find(std::begin(kMethods), std::end(kMethods), name) != std::end(kMethods)) {
      return Value::of(Callable{name, std::make_shared<const Value>(of), nullptr});
    }
  }
  return Value();
}

Result<Value> Builtins::item(const Value& of, const Value& key) {
  if (of.is_undefined()) return fail("it looks into what is not defined");
  if (key.text()) return attribute(of, *key.text());
  if (key.integer() == nullptr) return Value();
  if (of.list()) {
    const auto index = index_of(*key.integer(), of.list()->items.size());
    return index ? of.list()->items[*index] : Value();
  }
  if (of.text()) {
    const auto index = index_of(*key.integer(), of.text()->size());
    return index ? make_text(of.text()->substr(*index, 1)) : Value();
  }
  return Value();
}

Result<Value> Builtins::slice(const Value& of, std::optional<int64_t> begin, std::optional<int64_t> end,
                              int64_t stride) {
  const bool is_text = of.text() != nullptr;
  if (!is_text && of.list() == nullptr) return fail(std::string("it slices ") + of.kind_name());
  if (stride == 0) return fail("a slice in steps of 0");
  const auto n = static_cast<int64_t>(is_text ? of.text()->size() : of.list()->items.size());
  const auto clamped = [&](int64_t bound, int64_t low, int64_t high) {
    return std::clamp(bound < 0 ? bound + n : bound, low, high);
  };
  const bool forward = stride > 0;
  const int64_t first = begin ? clamped(*begin, forward ? 0 : -1, forward ? n : n - 1) : forward ? 0 : n - 1;
  const int64_t last = end ? clamped(*end, forward ? 0 : -1, forward ? n : n - 1) : forward ? n : -1;
  std::string text;
  std::vector<Value> items;
  for (int64_t i = first; forward ? i < last : i > last; i += std::clamp<int64_t>(stride, -n - 1, n + 1)) {
    if (is_text) {
      text += (*of.text())[static_cast<size_t>(i)];
    } else {
      items.push_back(of.list()->items[static_cast<size_t>(i)]);
    }
  }
  return is_text ? make_text(std::move(text)) : make_list(std::move(items));
}

Result<bool> Builtins::equal(const Value& left, const Value& right) {
  ORRERY_RETURN_IF_ERROR(charge(left.text() ? left.text()->size() : 0));
  if (left.text() && right.text()) return *left.text() == *right.text();
  if (left.is_number() && right.is_number()) return left.number() == right.number();
  if (left.list() && right.list()) {
    const std::vector<Value>& a = left.list()->items;
    const std::vector<Value>& b = right.list()->items;
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      ORRERY_ASSIGN_OR_RETURN(const bool same, equal(a[i], b[i]));
      if (!same) return false;
    }
    return true;
  }
  return (left.is_none() && right.is_none()) || (left.is_undefined() && right.is_undefined()) ||
         (left.dict() && left.dict() == right.dict());
}

Result<bool> Builtins::less(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return left.number() < right.number();
  if (left.text() && right.text()) return *left.text() < *right.text();
  return fail(std::string("it compares ") + left.kind_name() + " with " + right.kind_name());
}

Result<bool> Builtins::contains(const Value& whole, const Value& part) {
  if (whole.text() && part.text()) {
    ORRERY_RETURN_IF_ERROR(charge(whole.text()->size() + part.text()->size()));
    return whole.text()->find(*part.text()) != std::string::npos;
  }
  if (whole.is_undefined()) return false;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Value> items, items_of(whole));
  for (const Value& item : items) {
    ORRERY_ASSIGN_OR_RETURN(const bool same, equal(item, part));
    if (same) return true;
  }
  return false;
}

Result<Value> Builtins::arithmetic(char op, const Value& left, const Value& right) {
  if (!left.is_number() || !right.is_number()) {
    return fail(std::string("it computes ") + left.kind_name() + " " + op + " " + right.kind_name());
  }
  const double a = left.number();
  const double b = right.number();
  if ((op == '/' || op == '%' || op == 'd') && b == 0) return fail("it divides by zero");
  if (op == '/') return Value::of(a / b);
  // Whole numbers stay whole; they are far below 2^53 in any template that means well.
  const bool whole = !left.real() && !right.real();
  const double exact = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : std::floor(a / b);
  const double result = op == '%' ? a - exact * b : exact;
  if (!(std::abs(result) < 9e15)) return fail("a number is too large");
  return whole ? Value::of(static_cast<int64_t>(result)) : Value::of(result);
}

Result<Value> Builtins::binary(std::string_view op, const Value& left, const Value& right) {
  ORRERY_RETURN_IF_ERROR(charge(0));
  if (op == "==" || op == "!=") {
    ORRERY_ASSIGN_OR_RETURN(const bool same, equal(left, right));
    return Value::of(same == (op == "=="));
  }
  if (op == "in" || op == "not in") {
    ORRERY_ASSIGN_OR_RETURN(const bool inside, contains(right, left));
    return Value::of(inside == (op == "in"));
  }
  if (op == "<" || op == ">=") {
    ORRERY_ASSIGN_OR_RETURN(const bool below, less(left, right));
    return Value::of(below == (op == "<"));
  }
  if (op == ">" || op == "<=") {
    ORRERY_ASSIGN_OR_RETURN(const bool above, less(right, left));
    return Value::of(above == (op == ">"));
  }
  if (op == "~") {
    ORRERY_ASSIGN_OR_RETURN(std::string text, text_of(left));
    ORRERY_ASSIGN_OR_RETURN(const std::string more, text_of(right));
    return make_text(std::move(text) + more);
  }
  if (op == "+" && left.text() && right.text()) return make_text(*left.text() + *right.text());
  if (op == "+" && left.list() && right.list()) {
    std::vector<Value> items = left.list()->items;
    ORRERY_RETURN_IF_ERROR(charge((items.size() + right.list()->items.size()) * 16));
    items.insert(items.end(), right.list()->items.begin(), right.list()->items.end());
    return make_list(std::move(items));
  }
  return arithmetic(op == "//" ? 'd' : op[0], left, right);
}

Result<Value> Builtins::join(const Value& of, const Arguments& arguments) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Value> items, items_of(of));
  const std::string between = arguments.text(0) ? *arguments.text(0) : std::string();
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    ORRERY_ASSIGN_OR_RETURN(const std::string one, text_of(items[i]));
    ORRERY_RETURN_IF_ERROR(charge(between.size() + one.size()));
    if (i > 0) text += between;
    text += one;
    if (text.size() > kMaxTextBytes) return fail("it makes a text that is too long");
  }
  return make_text(std::move(text));
}

Result<Value> Builtins::filter_items(std::string_view name, const Value& of, const Arguments& arguments) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Value> items, items_of(of));
  std::vector<Value> kept;
  if (name == "map") {
    const Value* attribute_name = arguments.find("attribute");
    for (const Value& item : items) {
      Result<Value> mapped = attribute_name && attribute_name->text() ? attribute(item, *attribute_name->text())
                             : arguments.text(0)                      ? filter(*arguments.text(0), item, {})
                                                                      : Result<Value>(fail("a map without a name"));
      if (!mapped) return mapped.error();
      kept.push_back(std::move(*mapped));
    }
    return make_list(std::move(kept));
  }
  const bool by_attribute = name.ends_with("attr");
  const bool keeps = name.starts_with("select");
  const size_t test_at = by_attribute ? 1 : 0;
  if (by_attribute && arguments.text(0) == nullptr) return fail("a selection without an attribute");
  Arguments rest;
  for (size_t i = test_at + 1; i < arguments.values.size(); ++i) rest.values.push_back(arguments.values[i]);
  for (const Value& item : items) {
    Value looked_at = item;
    if (by_attribute) {
      ORRERY_ASSIGN_OR_RETURN(looked_at, attribute(item, *arguments.text(0)));
    }
    bool holds = looked_at.truth();
    if (arguments.text(test_at)) {
      ORRERY_ASSIGN_OR_RETURN(holds, test(*arguments.text(test_at), looked_at, rest));
    }
    if (holds == keeps) kept.push_back(item);
  }
  return make_list(std::move(kept));
}

Result<Value> Builtins::filter(std::string_view name, const Value& of, const Arguments& arguments) {
  ORRERY_RETURN_IF_ERROR(charge(of.text() ? of.text()->size() : 0));
  if (name == "default" || name == "d") {
    const Value* other = arguments.get(0, "default_value");
    const Value* also_false = arguments.get(1, "boolean");
    const bool missing = of.is_undefined() || (also_false && also_false->truth() && !of.truth());
    return missing ? (other ? *other : Value::of("")) : of;
  }
  if (name == "length" || name == "count") {
    if (of.text()) {  // in characters
      const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
      return Value::of(static_cast<int64_t>(std::count_if(of.text()->begin(), of.text()->end(), starts)));
    }
    ORRERY_ASSIGN_OR_RETURN(const std::vector<Value> items, items_of(of));
    return Value::of(static_cast<int64_t>(items.size()));
  }
  if (name == "join") return join(of, arguments);
  if (name == "map" || name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") {
    return filter_items(name, of, arguments);
  }
  if (name == "first" || name == "last") {
    return item(of, Value::of(int64_t{name == "first" ? 0 : -1}));
  }
  if (name == "list" || name == "reverse") {
    ORRERY_ASSIGN_OR_RETURN(std::vector<Value> items, items_of(of));
    if (name == "reverse") std::reverse(items.begin(), items.end());
    return make_list(std::move(items));
  }
  if (name == "items" && of.dict()) return dict_method(*of.dict(), name, {});
  if (name == "safe") return of;
  if (name == "int") {
    int64_t value = 0;
    if (of.text()) std::from_chars(of.text()->data(), of.text()->data() + of.text()->size(), value);
    if (!of.text() && !(std::abs(of.number()) < 9e15)) return fail("a number is too large");
    return of.text() ? Value::of(value) : Value::of(static_cast<int64_t>(of.number()));
  }
  if (name == "tojson" && of.text()) {
    using Json = nlohmann::json;
    return make_text(Json(*of.text()).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  ORRERY_ASSIGN_OR_RETURN(std::string text, text_of(of));
  if (name == "string") return make_text(std::move(text));
  if (name == "trim") return make_text(std::string(strip(text, true, true, arguments.text(0))));
  if (name == "lower" || name == "upper" || name == "capitalize" || name == "replace") {
    return text_method(text, name, arguments);
  }
  return fail("a filter is not known: " + std::string(name));
}

Result<bool> Builtins::test(std::string_view name, const Value& of, const Arguments& arguments) {
  ORRERY_RETURN_IF_ERROR(charge(0));
  if (name == "defined") return !of.is_undefined();
  if (name == "undefined") return of.is_undefined();
  if (name == "none") return of.is_none();
  if (name == "string") return of.text() != nullptr;
  if (name == "mapping") return of.dict() != nullptr;
  if (name == "iterable" || name == "sequence") return of.text() || of.list() || of.dict();
  if (name == "number") return of.is_number();
  if (name == "integer") return of.integer() != nullptr;
  if (name == "boolean") return of.boolean() != nullptr;
  if (name == "true" || name == "false") return of.boolean() != nullptr && *of.boolean() == (name == "true");
  if (name == "callable") return of.callable() != nullptr;
  if ((name == "odd" || name == "even") && of.integer()) return (*of.integer() % 2 != 0) == (name == "odd");
  const Value* other = arguments.get(0);
  if (other == nullptr) return fail("a test is not known: " + std::string(name));
  if (name == "equalto" || name == "eq" || name == "==" || name == "sameas") return equal(of, *other);
  if (name == "ne" || name == "!=") {
    ORRERY_ASSIGN_OR_RETURN(const bool same, equal(of, *other));
    return !same;
  }
  if (name == "in") return contains(*other, of);
  return fail("a test is not known: " + std::string(name));
}

Result<Value> Builtins::split(const std::string& self, const Arguments& arguments) {
  const Value* limit = arguments.get(1, "maxsplit");
  int64_t left = limit && limit->integer() && *limit->integer() >= 0 ? *limit->integer() : INT64_MAX;
  std::vector<Value> parts;
  const std::string* between = arguments.text(0);
  if (between != nullptr && between->empty()) return fail("it splits a text at nothing");
  size_t at = 0;
  while (between != nullptr && left-- > 0) {
    const size_t end = self.find(*between, at);
    if (end == std::string::npos) break;
    ORRERY_ASSIGN_OR_RETURN(Value part, make_text(self.substr(at, end - at)));
    parts.push_back(std::move(part));
    at = end + between->size();
  }
  // Without an argument at white space, runs of it counting once, as in Python.
  for (std::string_view rest = strip(self, true, true); between == nullptr && !rest.empty();) {
    const size_t end = std::min(rest.find_first_of(" \t\n\r\f\v"), rest.size());
    ORRERY_ASSIGN_OR_RETURN(Value part, make_text(std::string(rest.substr(0, end))));
    parts.push_back(std::move(part));
    rest = strip(rest.substr(end), true, false);
  }
  if (between != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(Value part, make_text(self.substr(at)));
    parts.push_back(std::move(part));
  }
  return make_list(std::move(parts));
}

Result<Value> Builtins::replace(const std::string& self, const Arguments& arguments) {
  const std::string* from = arguments.text(0);
  const std::string* to = arguments.text(1);
  if (from == nullptr || to == nullptr || from->empty()) return fail("it replaces what is no text");
  std::string result;
  size_t at = 0;
  for (size_t found = self.find(*from); found != std::string::npos; found = self.find(*from, at)) {
    result.append(self, at, found - at).append(*to);
    at = found + from->size();
    ORRERY_RETURN_IF_ERROR(charge(to->size()));
    if (result.size() > kMaxTextBytes) return fail("it makes a text that is too long");
  }
  return make_text(result.append(self, at));
}

Result<Value> Builtins::text_method(const std::string& self, std::string_view name, const Arguments& arguments) {
  const std::string* first = arguments.text(0);
  ORRERY_RETURN_IF_ERROR(charge(self.size()));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return make_text(std::string(strip(self, name != "rstrip", name != "lstrip", first)));
  }
  if (name == "lower") return make_text(lower(self));
  if (name == "upper") return make_text(upper(self));
  if (name == "capitalize") return make_text(capitalize(self));
  if (name == "split") return split(self, arguments);
  if (name == "replace") return replace(self, arguments);
  if (first != nullptr) {
    if (name == "startswith") return Value::of(self.starts_with(*first));
    if (name == "endswith") return Value::of(self.ends_with(*first));
    if (name == "find") {
      const size_t found = self.find(*first);
      return Value::of(found == std::string::npos ? int64_t{-1} : static_cast<int64_t>(found));
    }
  }
  if (name == "join" && arguments.get(0)) {
    Arguments between;
    between.values.push_back(Value::of(self));
    return join(*arguments.get(0), between);
  }
  return fail("a text has no such method: " + std::string(name));
}

Result<Value> Builtins::dict_method(const DictValue& self, std::string_view name, const Arguments& arguments) {
  ORRERY_RETURN_IF_ERROR(charge(self.members.size() * 16));
  if (name == "get" && arguments.text(0)) {
    if (const Value* member = self.find(*arguments.text(0))) return *member;
    const Value* other = arguments.get(1);
    return other ? *other : Value::none();
  }
  if (name != "items" && name != "keys" && name != "values") {
    return fail("a dictionary has no such method: " + std::string(name));
  }
  std::vector<Value> items;
  for (const auto& [key, member] : self.members) {
    if (name == "items") {
      ORRERY_ASSIGN_OR_RETURN(Value pair, make_list({Value::of(key), member}));
      items.push_back(std::move(pair));
    } else {
      items.push_back(name == "keys" ? Value::of(key) : member);
    }
  }
  return make_list(std::move(items));
}

Result<Value> Builtins::method(const Value& self, std::string_view name, const Arguments& arguments) {
  if (self.text()) return text_method(*self.text(), name, arguments);
  if (self.dict()) return dict_method(*self.dict(), name, arguments);
  return fail(std::string(self.kind_name()) + " has no such method: " + std::string(name));
}

Result<Value> Builtins::function(std::string_view name, const Arguments& arguments) {
  if (name == "raise_exception") {
    return Error{ErrorCode::kInvalidArgument, arguments.text(0) ? *arguments.text(0) : "the template refuses it"};
  }
  if (name == "strftime_now" && arguments.text(0)) {
    const std::string& format = *arguments.text(0);
    char buffer[256];
    if (format.empty() || format.size() > 60) return fail("a date's format is too long");
    return make_text({buffer, std::strftime(buffer, sizeof(buffer), format.c_str(), &today_)});
  }
  if (name == "dict") return make_dict(arguments.named);
  if (name == "range") {
    int64_t bounds[3] = {0, 0, 1};
    const size_t n = arguments.values.size();
    if (n < 1 || n > 3) return fail("a range without bounds");
    for (size_t i = 0; i < n; ++i) {
      if (arguments.values[i].integer() == nullptr) return fail("a range's bound is no whole number");
      bounds[n == 1 ? 1 : i] = *arguments.values[i].integer();
    }
    const auto [begin, end, stride] = bounds;
    if (stride == 0) return fail("a range in steps of 0");
    std::vector<Value> items;
    for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
      ORRERY_RETURN_IF_ERROR(charge(16));
      items.push_back(Value::of(i));
    }
    return make_list(std::move(items));
  }
  return fail("a function is not known: " + std::string(name));
}

}  // namespace orrery::jinja
