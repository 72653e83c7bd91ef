#include "engine/jinja/interpreter.h"

#include <algorithm>
#include <map>
#include <optional>

#include "engine/jinja/builtins.h"
#include "engine/jinja/depth_guard.h"

namespace orrery::jinja {
namespace {

constexpr int kMaxCalls = 40;          // macros within each other
constexpr int kMaxEvaluations = 1200;  // expressions and blocks within each other, over all calls

enum class Flow : uint8_t { kOn, kBreak, kContinue };

class Interpreter {
 public:
  explicit Interpreter(const Surroundings& surroundings) : work_(surroundings.today) {
    scopes_.emplace_back();
    for (const auto& [name, value] : surroundings.variables) scopes_.back().insert_or_assign(name, value);
  }
  // Namespaces may hold each other, round in a circle.
  ~Interpreter() {
    for (const Value& one : namespaces_) one.dict()->members.clear();
  }
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Result<std::string> run(const Body& body) {
    std::string out;
    ORRERY_RETURN_IF_ERROR(execute(body, out));
    return out;
  }

 private:
  using Scope = std::map<std::string, Value, std::less<>>;

  // --- statements ---

  Result<Flow> execute(const Body& body, std::string& out) {
    for (const Statement& statement : body) {
      ORRERY_ASSIGN_OR_RETURN(const Flow flow, execute(statement, out));
      if (flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Result<void> write(std::string_view text, std::string& out) {
    ORRERY_RETURN_IF_ERROR(work_.charge(text.size()));
    if (out.size() + text.size() > kMaxTextBytes) return fail("it writes too much");
    out += text;
    return {};
  }

  Result<Flow> execute(const Statement& statement, std::string& out) {
    const DepthGuard guard(nesting_);
    ORRERY_RETURN_IF_ERROR(step());
    switch (statement.kind) {
      case Statement::Kind::kText:
        ORRERY_RETURN_IF_ERROR(write(statement.text, out));
        return Flow::kOn;
      case Statement::Kind::kOutput: {
        ORRERY_ASSIGN_OR_RETURN(const Value value, evaluate(*statement.value));
        ORRERY_ASSIGN_OR_RETURN(const std::string text, text_of(value));
        ORRERY_RETURN_IF_ERROR(write(text, out));
        return Flow::kOn;
      }
      case Statement::Kind::kIf: {
        ORRERY_ASSIGN_OR_RETURN(const Value condition, evaluate(*statement.value));
        return execute(condition.truth() ? statement.body : statement.otherwise, out);
      }
      case Statement::Kind::kFor:
        return execute_for(statement, out);
      case Statement::Kind::kSet: {
        ORRERY_ASSIGN_OR_RETURN(Value value, evaluate(*statement.value));
        ORRERY_RETURN_IF_ERROR(assign(statement, std::move(value)));
        return Flow::kOn;
      }
      case Statement::Kind::kSetBlock: {
        std::string text;
        ORRERY_RETURN_IF_ERROR(execute(statement.body, text));
        scopes_.back().insert_or_assign(statement.names.front(), Value::of(std::move(text)));
        return Flow::kOn;
      }
      case Statement::Kind::kMacro:
        scopes_.back().insert_or_assign(statement.text, Value::of(Callable{statement.text, nullptr, &statement}));
        return Flow::kOn;
      case Statement::Kind::kBreak:
        return Flow::kBreak;
      case Statement::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  Result<void> assign(const Statement& statement, Value value) {
    if (statement.attribute.empty()) return bind(statement.names, std::move(value));
    const Value* target = find(statement.names.front());
    if (target == nullptr || target->dict() == nullptr || !target->dict()->is_namespace) {
      return fail("only a namespace's members can be set: " + statement.names.front());
    }
    if (value.depth() >= kMaxValueDepth) return fail("values nest too deeply");
    DictValue& dict = *target->dict();
    dict.depth = std::max(dict.depth, value.depth() + 1);
    for (auto& [name, member] : dict.members) {
      ORRERY_RETURN_IF_ERROR(work_.charge(0));
      if (name != statement.attribute) continue;
      member = std::move(value);
      return {};
    }
    dict.members.emplace_back(statement.attribute, std::move(value));
    return {};
  }

  // One name takes the value, several take a list's items.
  Result<void> bind(const std::vector<std::string>& names, Value value) {
    if (names.size() == 1) {
      scopes_.back().insert_or_assign(names.front(), std::move(value));
      return {};
    }
    if (value.list() == nullptr || value.list()->items.size() != names.size()) {
      return fail("a value cannot be given to several names");
    }
    for (size_t i = 0; i < names.size(); ++i) scopes_.back().insert_or_assign(names[i], value.list()->items[i]);
    return {};
  }

  Result<Flow> execute_for(const Statement& loop, std::string& out) {
    ORRERY_ASSIGN_OR_RETURN(const Value over, evaluate(*loop.value));
    ORRERY_ASSIGN_OR_RETURN(std::vector<Value> items, work_.items_of(over));
    scopes_.emplace_back();
    Result<Flow> flow = loop_over(loop, std::move(items), out);
    scopes_.pop_back();
    return flow;
  }

  Result<Flow> loop_over(const Statement& loop, std::vector<Value> items, std::string& out) {
    if (loop.filter) {
      std::vector<Value> kept;
      for (Value& item : items) {
        ORRERY_RETURN_IF_ERROR(bind(loop.names, item));
        ORRERY_ASSIGN_OR_RETURN(const Value keep, evaluate(*loop.filter));
        if (keep.truth()) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    for (size_t i = 0; i < items.size(); ++i) {
      scopes_.back().clear();
      scopes_.back().insert_or_assign("loop", loop_variable(items, i));
      ORRERY_RETURN_IF_ERROR(bind(loop.names, items[i]));
      ORRERY_ASSIGN_OR_RETURN(const Flow flow, execute(loop.body, out));
      if (flow == Flow::kBreak) return Flow::kOn;
    }
    if (!items.empty()) return Flow::kOn;
    return execute(loop.otherwise, out);
  }

  static Value loop_variable(const std::vector<Value>& items, size_t i) {
    const auto at = static_cast<int64_t>(i);
    const auto n = static_cast<int64_t>(items.size());
    DictValue loop;
    loop.depth = kMaxValueDepth;  // not kept in other values
    loop.members = {{"index", Value::of(at + 1)},
                    {"index0", Value::of(at)},
                    {"revindex", Value::of(n - at)},
                    {"revindex0", Value::of(n - at - 1)},
                    {"first", Value::of(at == 0)},
                    {"last", Value::of(at + 1 == n)},
                    {"length", Value::of(n)},
                    {"previtem", at > 0 ? items[i - 1] : Value()},
                    {"nextitem", at + 1 < n ? items[i + 1] : Value()}};
    return Value::of(std::move(loop));
  }

  // --- expressions ---

  Result<Value> evaluate(const Expr& expr) {
    const DepthGuard guard(nesting_);
    ORRERY_RETURN_IF_ERROR(step());
    switch (expr.kind) {
      case Expr::Kind::kLiteral:
        return expr.value;
      case Expr::Kind::kName: {
        const Value* found = find(expr.name);
        if (found) return *found;
        return is_function(expr.name) ? Value::of(Callable{expr.name, nullptr, nullptr}) : Value();
      }
      case Expr::Kind::kList: {
        ORRERY_ASSIGN_OR_RETURN(std::vector<Value> items, all(expr, 0));
        return work_.make_list(std::move(items));
      }
      case Expr::Kind::kDict:
        return dictionary(expr);
      case Expr::Kind::kAttribute: {
        ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
        return work_.attribute(of, expr.name);
      }
      case Expr::Kind::kItem: {
        ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
        ORRERY_ASSIGN_OR_RETURN(const Value key, evaluate(*expr.parts[1]));
        return work_.item(of, key);
      }
      case Expr::Kind::kSlice:
        return slice(expr);
      case Expr::Kind::kCall:
        return call(expr);
      case Expr::Kind::kFilter: {
        ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
        ORRERY_ASSIGN_OR_RETURN(const Arguments arguments, arguments_of(expr));
        return work_.filter(expr.name, of, arguments);
      }
      case Expr::Kind::kTest: {
        ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
        ORRERY_ASSIGN_OR_RETURN(const Arguments arguments, arguments_of(expr));
        ORRERY_ASSIGN_OR_RETURN(const bool holds, work_.test(expr.name, of, arguments));
        return Value::of(holds != expr.negated);
      }
      case Expr::Kind::kNot: {
        ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
        return Value::of(!of.truth());
      }
      case Expr::Kind::kNegate: {
        ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
        return work_.binary("-", Value::of(int64_t{0}), of);
      }
      case Expr::Kind::kBinary: {
        ORRERY_ASSIGN_OR_RETURN(const Value left, evaluate(*expr.parts[0]));
        ORRERY_ASSIGN_OR_RETURN(const Value right, evaluate(*expr.parts[1]));
        return work_.binary(expr.name, left, right);
      }
      case Expr::Kind::kAnd:
      case Expr::Kind::kOr: {
        ORRERY_ASSIGN_OR_RETURN(const Value left, evaluate(*expr.parts[0]));
        if (left.truth() == (expr.kind == Expr::Kind::kOr)) return left;
        return evaluate(*expr.parts[1]);
      }
      case Expr::Kind::kTernary: {
        ORRERY_ASSIGN_OR_RETURN(const Value condition, evaluate(*expr.parts[1]));
        if (condition.truth()) return evaluate(*expr.parts[0]);
        return expr.parts[2] ? evaluate(*expr.parts[2]) : Value();
      }
    }
    return Value();
  }

  Result<std::vector<Value>> all(const Expr& expr, size_t first) {
    std::vector<Value> values;
    for (size_t i = first; i < expr.parts.size(); ++i) {
      ORRERY_ASSIGN_OR_RETURN(Value value, evaluate(*expr.parts[i]));
      values.push_back(std::move(value));
    }
    return values;
  }

  Result<Arguments> arguments_of(const Expr& expr) {
    Arguments arguments;
    ORRERY_ASSIGN_OR_RETURN(arguments.values, all(expr, 1));
    for (const auto& [name, part] : expr.named) {
      ORRERY_ASSIGN_OR_RETURN(Value value, evaluate(*part));
      arguments.named.emplace_back(name, std::move(value));
    }
    return arguments;
  }

  Result<Value> dictionary(const Expr& expr) {
    std::vector<std::pair<std::string, Value>> members;
    for (size_t i = 0; i < expr.parts.size(); i += 2) {
      ORRERY_ASSIGN_OR_RETURN(const Value key, evaluate(*expr.parts[i]));
      ORRERY_ASSIGN_OR_RETURN(Value value, evaluate(*expr.parts[i + 1]));
      if (key.text() == nullptr) return fail("a dictionary's key is no text");
      members.emplace_back(*key.text(), std::move(value));
    }
    return work_.make_dict(std::move(members));
  }

  Result<Value> slice(const Expr& expr) {
    ORRERY_ASSIGN_OR_RETURN(const Value of, evaluate(*expr.parts[0]));
    std::optional<int64_t> bounds[3];
    for (size_t i = 0; i < 3; ++i) {
      if (!expr.parts[i + 1]) continue;
      ORRERY_ASSIGN_OR_RETURN(const Value bound, evaluate(*expr.parts[i + 1]));
      if (bound.is_none()) continue;
      if (bound.integer() == nullptr) return fail("a slice's bound is no whole number");
      bounds[i] = *bound.integer();
    }
    return work_.slice(of, bounds[0], bounds[1], bounds[2].value_or(1));
  }

  Result<Value> call(const Expr& expr) {
    ORRERY_ASSIGN_OR_RETURN(const Value function, evaluate(*expr.parts[0]));
    ORRERY_ASSIGN_OR_RETURN(Arguments arguments, arguments_of(expr));
    const Callable* callable = function.callable();
    if (callable == nullptr) return fail(std::string("this cannot be called: ") + function.kind_name());
    if (callable->macro) return call_macro(*callable->macro, std::move(arguments));
    if (callable->self) return work_.method(*callable->self, callable->name, arguments);
    if (callable->name == "namespace") {
      ORRERY_ASSIGN_OR_RETURN(const Value made, work_.make_dict(std::move(arguments.named)));
      made.dict()->is_namespace = true;
      namespaces_.push_back(made);
      return made;
    }
    return work_.function(callable->name, arguments);
  }

  // A macro sees the template's own variables and its arguments.
  Result<Value> call_macro(const Statement& macro, Arguments arguments) {
    if (n_calls_ >= kMaxCalls) return fail("macros call each other too deeply");
    if (arguments.values.size() > macro.names.size()) return fail("a macro gets too many arguments: " + macro.text);
    Scope own;
    for (size_t i = 0; i < macro.names.size(); ++i) {
      Value value;
      const Value* named = arguments.find(macro.names[i]);
      if (i < arguments.values.size()) {
        value = std::move(arguments.values[i]);
      } else if (named != nullptr) {
        value = *named;
      } else if (macro.defaults[i]) {
        ORRERY_ASSIGN_OR_RETURN(value, evaluate(*macro.defaults[i]));
      }
      own.insert_or_assign(macro.names[i], std::move(value));
    }
    std::vector<Scope> kept;
    kept.swap(scopes_);
    scopes_.push_back(std::move(kept.front()));
    scopes_.push_back(std::move(own));
    ++n_calls_;
    std::string text;
    const Result<Flow> done = execute(macro.body, text);
    --n_calls_;
    kept.front() = std::move(scopes_.front());
    scopes_.swap(kept);
    if (!done) return done.error();
    return Value::of(std::move(text));
  }

  const Value* find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return &found->second;
    }
    return nullptr;
  }

  Result<void> step() {
    if (nesting_ > kMaxEvaluations) return fail("it nests too deeply");
    return work_.charge(0);
  }

  Builtins work_;
  std::vector<Scope> scopes_;
  std::vector<Value> namespaces_;
  int nesting_ = 0;
  int n_calls_ = 0;
};

}  // namespace

Result<std::string> render(const Body& body, const Surroundings& surroundings) {
  return Interpreter(surroundings).run(body);
}

}  // namespace orrery::jinja
