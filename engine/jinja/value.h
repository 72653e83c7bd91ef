// Value: what a Jinja expression is worth. Cheap to copy: texts, lists and dictionaries are shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace orrery::jinja {

struct Statement;
class Value;

struct ListValue {
  std::vector<Value> items;
  int depth = 1;  // of lists and dictionaries within each other: bounded, as they are destroyed recursively
};

// Of a namespace() the members change; of any other dictionary they do not.
struct DictValue {
  std::vector<std::pair<std::string, Value>> members;  // in the order of writing; of equal names the last one counts
  int depth = 1;
  bool is_namespace = false;
  const Value* find(std::string_view name) const;
};

// A function of the interpreter by its name, a method bound to a value, or a macro of the template.
struct Callable {
  std::string name;
  std::shared_ptr<const Value> self;  // null for functions and macros
  const Statement* macro = nullptr;
};

class Value {
 public:
  using Text = std::shared_ptr<const std::string>;
  using List = std::shared_ptr<const ListValue>;
  using Dict = std::shared_ptr<DictValue>;
  struct Undefined {};
  struct None {};

  Value() = default;  // undefined
  static Value none() { return Value(None{}); }
  static Value of(bool value) { return Value(value); }
  static Value of(int64_t value) { return Value(value); }
  static Value of(double value) { return Value(value); }
  static Value of(std::string text) { return Value(std::make_shared<const std::string>(std::move(text))); }
  static Value of(const char* text) { return of(std::string(text)); }
  static Value of(ListValue list) { return Value(List(std::make_shared<const ListValue>(std::move(list)))); }
  static Value of(DictValue dict) { return Value(std::make_shared<DictValue>(std::move(dict))); }
  static Value of(Callable callable) { return Value(std::make_shared<const Callable>(std::move(callable))); }

  bool is_undefined() const { return std::holds_alternative<Undefined>(held_); }
  bool is_none() const { return std::holds_alternative<None>(held_); }
  bool is_number() const { return integer() != nullptr || real() != nullptr || boolean() != nullptr; }
  // Null where it is another kind.
  const bool* boolean() const { return std::get_if<bool>(&held_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&held_); }
  const double* real() const { return std::get_if<double>(&held_); }
  const std::string* text() const { return pointee<const std::string>(); }
  const ListValue* list() const { return pointee<const ListValue>(); }
  DictValue* dict() const { return pointee<DictValue>(); }
  const Callable* callable() const { return pointee<const Callable>(); }
  const Dict* shared_dict() const { return std::get_if<Dict>(&held_); }

  bool truth() const;     // as Python's bool()
  double number() const;  // of a number: its value; else 0
  int depth() const;      // of lists and dictionaries within it; 0 for what has none
  const char* kind_name() const;

 private:
  template <typename T>
  explicit Value(T held) : held_(std::move(held)) {}
  template <typename T>
  T* pointee() const {
    const auto* held = std::get_if<std::shared_ptr<T>>(&held_);
    return held ? held->get() : nullptr;
  }

  std::variant<Undefined, None, bool, int64_t, double, Text, List, Dict, std::shared_ptr<const Callable>> held_;
};

// Python's str.strip(): white space off both ends (`left`, `right` say which), or the characters of `of` where given.
std::string_view strip(std::string_view text, bool left, bool right, const std::string* of = nullptr);

}  // namespace orrery::jinja
