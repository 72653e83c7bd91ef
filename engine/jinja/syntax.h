// The syntax tree of a Jinja template, as parse_template() makes it and render() walks it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/jinja/value.h"

namespace orrery::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind : uint8_t {
    kLiteral,    // value
    kName,       // name
    kList,       // parts
    kDict,       // parts: key, value, key, value, …
    kAttribute,  // parts[0].name
    kItem,       // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], each bound null where left out
    kCall,       // parts[0](parts[1], …, named)
    kFilter,     // parts[0] | name(parts[1], …, named)
    kTest,       // parts[0] is name(parts[1], …); negated: is not
    kNot,        // not parts[0]
    kNegate,     // -parts[0]
    kBinary,     // parts[0] name parts[1]: + - * / // % ~ == != < <= > >= in, "not in"
    kAnd,        // parts[0] and parts[1]
    kOr,         // parts[0] or parts[1]
    kTernary,    // parts[0] if parts[1] else parts[2]; parts[2] null where left out
  };
  Kind kind = Kind::kLiteral;
  bool negated = false;
  int depth = 1;  // of the tree from here down: bounded, as it is walked recursively
  std::string name;
  Value value;
  std::vector<ExprPtr> parts;
  std::vector<std::pair<std::string, ExprPtr>> named;  // arguments given by name
};

struct Statement;
using Body = std::vector<Statement>;

struct Statement {
  enum class Kind : uint8_t {
    kText,      // text
    kOutput,    // {{ value }}
    kIf,        // value, body, otherwise (an elif is an if in `otherwise`)
    kFor,       // names in value, filter; body, otherwise
    kSet,       // names = value; an attribute where there is one: names[0].attribute = value
    kSetBlock,  // names[0] = what body writes
    kMacro,     // text is its name, names its parameters, defaults (null where there is none), body
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  std::string text;
  std::string attribute;
  std::vector<std::string> names;
  ExprPtr value;
  ExprPtr filter;
  std::vector<ExprPtr> defaults;
  Body body;
  Body otherwise;
};

}  // namespace orrery::jinja
