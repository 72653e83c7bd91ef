// What Jinja expressions can do to values: operators, filters, tests, methods and functions, each charged to a budget.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/jinja/value.h"
#include "kernels/base/result.h"

namespace orrery::jinja {

inline constexpr int kMaxValueDepth = 40;  // lists and dictionaries within each other

struct Arguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string, Value>> named;
  const Value* find(std::string_view name) const;
  // The i-th argument or the one of that name; null where neither was given.
  const Value* get(size_t i, std::string_view name = {}) const;
  // The i-th as text; null where it is none.
  const std::string* text(size_t i) const;
};

Error fail(std::string what);                     // kUnsupported
bool is_function(std::string_view name);          // of those that every template finds
Result<std::string> text_of(const Value& value);  // as {{ }} writes it

// All methods: kUnsupported, in a few words, for what is not known, for values of the wrong kind, and beyond the
// budget.
class Builtins {
 public:
  explicit Builtins(const std::tm& today) : today_(today) {}

  Result<void> charge(size_t n_bytes);  // a step, and n_bytes read or written

  Result<Value> make_list(std::vector<Value> items);
  Result<Value> make_dict(std::vector<std::pair<std::string, Value>> members);
  Result<std::vector<Value>> items_of(const Value& value);  // what a for goes over

  Result<Value> attribute(const Value& of, const std::string& name);  // of.name
  Result<Value> item(const Value& of, const Value& key);              // of[key]
  Result<Value> slice(const Value& of, std::optional<int64_t> begin, std::optional<int64_t> end, int64_t stride);
  Result<Value> binary(std::string_view op, const Value& left, const Value& right);
  Result<Value> filter(std::string_view name, const Value& of, const Arguments& arguments);
  Result<bool> test(std::string_view name, const Value& of, const Arguments& arguments);
  Result<Value> method(const Value& self, std::string_view name, const Arguments& arguments);
  Result<Value> function(std::string_view name, const Arguments& arguments);

 private:
  Result<Value> make_text(std::string text);
  Result<bool> equal(const Value& left, const Value& right);
  Result<bool> less(const Value& left, const Value& right);
  Result<bool> contains(const Value& whole, const Value& part);
  Result<Value> arithmetic(char op, const Value& left, const Value& right);
  Result<Value> text_method(const std::string& self, std::string_view name, const Arguments& arguments);
  Result<Value> dict_method(const DictValue& self, std::string_view name, const Arguments& arguments);
  Result<Value> split(const std::string& self, const Arguments& arguments);
  Result<Value> replace(const std::string& self, const Arguments& arguments);
  Result<Value> join(const Value& of, const Arguments& arguments);
  // Filters that keep, drop or look into items: select, reject, selectattr, rejectattr, map.
  Result<Value> filter_items(std::string_view name, const Value& of, const Arguments& arguments);

  std::tm today_;
  int64_t steps_ = 0;
};

}  // namespace orrery::jinja
