#include "engine/jinja/parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>

#include "engine/jinja/depth_guard.h"
#include "engine/jinja/lexer.h"

namespace orrery::jinja {
namespace {

using Kind = LexToken::Kind;

Error fail(std::string what) { return Error{ErrorCode::kUnsupported, std::move(what)}; }

// The tokens of one tag, from the left.
class Tokens {
 public:
  explicit Tokens(const std::vector<LexToken>& tokens) : tokens_(tokens) {}

  bool done() const { return at_ == tokens_.size(); }
  const LexToken* peek(size_t ahead = 0) const {
    return at_ + ahead < tokens_.size() ? &tokens_[at_ + ahead] : nullptr;
  }
  bool is(Kind kind, std::string_view text, size_t ahead = 0) const {
    const LexToken* token = peek(ahead);
    return token != nullptr && token->kind == kind && token->text == text;
  }
  bool is_operator(std::string_view text, size_t ahead = 0) const { return is(Kind::kOperator, text, ahead); }
  bool is_name(std::string_view text, size_t ahead = 0) const { return is(Kind::kName, text, ahead); }
  bool take_operator(std::string_view text) { return is_operator(text) && ++at_ > 0; }
  bool take_name(std::string_view text) { return is_name(text) && ++at_ > 0; }
  const LexToken& take() { return tokens_[at_++]; }
  Result<std::string> name() {
    if (done() || peek()->kind != Kind::kName) return fail("a name is missing");
    return take().text;
  }
  Result<void> expect(std::string_view text) {
    if (!take_operator(text)) return fail("a \"" + std::string(text) + "\" is missing");
    return {};
  }

 private:
  const std::vector<LexToken>& tokens_;
  size_t at_ = 0;
};

// Expressions, loosest binding first; the grammar is Jinja's.
class ExpressionParser {
 public:
  explicit ExpressionParser(Tokens& tokens) : tokens_(tokens) {}

  Result<ExprPtr> expression() {
    const DepthGuard guard(nesting_);
    if (nesting_ > kMaxSyntaxDepth) return too_deep();
    ORRERY_ASSIGN_OR_RETURN(ExprPtr left, any_of());
    while (tokens_.take_name("if")) {
      ORRERY_ASSIGN_OR_RETURN(ExprPtr condition, any_of());
      ExprPtr otherwise;
      if (tokens_.take_name("else")) {
        ORRERY_ASSIGN_OR_RETURN(otherwise, expression());
      }
      ORRERY_ASSIGN_OR_RETURN(
          left, make(Expr::Kind::kTernary, "", std::move(left), std::move(condition), std::move(otherwise)));
    }
    return left;
  }

  // a, b, c as one list; a single expression is itself.
  Result<ExprPtr> tuple() {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr first, expression());
    if (!tokens_.is_operator(",")) return first;
    ORRERY_ASSIGN_OR_RETURN(ExprPtr list, make(Expr::Kind::kList, "", std::move(first)));
    while (tokens_.take_operator(",") && !tokens_.done() && !tokens_.is_operator(")")) {
      ORRERY_ASSIGN_OR_RETURN(ExprPtr item, expression());
      ORRERY_RETURN_IF_ERROR(add(*list, std::move(item)));
    }
    return list;
  }

  Result<ExprPtr> any_of() { return chain("or", Expr::Kind::kOr, &ExpressionParser::all_of); }

 private:
  using Level = Result<ExprPtr> (ExpressionParser::*)();

  static Error too_deep() { return fail("an expression nests too deeply"); }

  static Result<void> add(Expr& expr, ExprPtr part) {
    if (part) expr.depth = std::max(expr.depth, part->depth + 1);
    expr.parts.push_back(std::move(part));
    if (expr.depth > kMaxSyntaxDepth) return too_deep();
    return {};
  }

  template <typename... Parts>
  static Result<ExprPtr> make(Expr::Kind kind, std::string name, Parts... parts) {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->name = std::move(name);
    Result<void> added;
    ((added = added ? add(*expr, std::move(parts)) : added), ...);
    if (!added) return added.error();
    return expr;
  }

  static Result<ExprPtr> literal(Value value) {
    auto expr = std::make_unique<Expr>();
    expr->value = std::move(value);
    return expr;
  }

  Result<ExprPtr> chain(std::string_view word, Expr::Kind kind, Level level) {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr left, (this->*level)());
    while (tokens_.take_name(word)) {
      ORRERY_ASSIGN_OR_RETURN(ExprPtr right, (this->*level)());
      ORRERY_ASSIGN_OR_RETURN(left, make(kind, "", std::move(left), std::move(right)));
    }
    return left;
  }

  Result<ExprPtr> operators(std::initializer_list<std::string_view> which, Level level) {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr left, (this->*level)());
    while (true) {
      const auto found = std::find_if(which.begin(), which.end(), [&](auto op) { return tokens_.is_operator(op); });
      if (found == which.end()) return left;
      tokens_.take();
      ORRERY_ASSIGN_OR_RETURN(ExprPtr right, (this->*level)());
      ORRERY_ASSIGN_OR_RETURN(left, make(Expr::Kind::kBinary, std::string(*found), std::move(left), std::move(right)));
    }
  }

  Result<ExprPtr> all_of() { return chain("and", Expr::Kind::kAnd, &ExpressionParser::negation); }

  Result<ExprPtr> negation() {
    const DepthGuard guard(nesting_);
    if (nesting_ > kMaxSyntaxDepth) return too_deep();
    if (!tokens_.take_name("not")) return comparison();
    ORRERY_ASSIGN_OR_RETURN(ExprPtr of, negation());
    return make(Expr::Kind::kNot, "", std::move(of));
  }

  std::optional<std::string> take_comparison() {
    for (const std::string_view op : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (tokens_.take_operator(op)) return std::string(op);
    }
    if (tokens_.take_name("in")) return "in";
    if (tokens_.is_name("not") && tokens_.is_name("in", 1)) {
      tokens_.take();
      tokens_.take();
      return "not in";
    }
    return std::nullopt;
  }

  Result<ExprPtr> comparison() {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr left, sum());
    const std::optional<std::string> op = take_comparison();
    if (!op) return left;
    ORRERY_ASSIGN_OR_RETURN(ExprPtr right, sum());
    if (take_comparison()) return fail("a chain of comparisons");
    return make(Expr::Kind::kBinary, *op, std::move(left), std::move(right));
  }

  Result<ExprPtr> sum() { return operators({"+", "-"}, &ExpressionParser::concatenation); }
  Result<ExprPtr> concatenation() { return operators({"~"}, &ExpressionParser::product); }
  Result<ExprPtr> product() { return operators({"*", "//", "/", "%"}, &ExpressionParser::signed_filtered); }

  Result<ExprPtr> signed_filtered() {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr expr, with_sign());
    return filters_and_tests(std::move(expr));
  }

  Result<ExprPtr> with_sign() {
    const DepthGuard guard(nesting_);
    if (nesting_ > kMaxSyntaxDepth) return too_deep();
    if (tokens_.take_operator("+")) return with_sign();
    if (tokens_.take_operator("-")) {
      ORRERY_ASSIGN_OR_RETURN(ExprPtr of, with_sign());
      return make(Expr::Kind::kNegate, "", std::move(of));
    }
    ORRERY_ASSIGN_OR_RETURN(ExprPtr expr, primary());
    return postfix(std::move(expr));
  }

  Result<ExprPtr> postfix(ExprPtr expr) {
    while (true) {
      if (tokens_.take_operator(".")) {
        if (!tokens_.done() && tokens_.peek()->kind == Kind::kInteger) {
          ORRERY_ASSIGN_OR_RETURN(ExprPtr index, primary());
          ORRERY_ASSIGN_OR_RETURN(expr, make(Expr::Kind::kItem, "", std::move(expr), std::move(index)));
          continue;
        }
        ORRERY_ASSIGN_OR_RETURN(std::string name, tokens_.name());
        ORRERY_ASSIGN_OR_RETURN(expr, make(Expr::Kind::kAttribute, std::move(name), std::move(expr)));
      } else if (tokens_.take_operator("[")) {
        ORRERY_ASSIGN_OR_RETURN(expr, subscript(std::move(expr)));
      } else if (tokens_.is_operator("(")) {
        ORRERY_ASSIGN_OR_RETURN(expr, make(Expr::Kind::kCall, "", std::move(expr)));
        ORRERY_RETURN_IF_ERROR(arguments(*expr));
      } else {
        return expr;
      }
    }
  }

  Result<ExprPtr> subscript(ExprPtr of) {
    ExprPtr bounds[3];
    size_t n = 0;
    bool is_slice = false;
    while (!tokens_.is_operator("]")) {
      if (tokens_.take_operator(":")) {
        is_slice = true;
        if (++n > 2) return fail("a slice with too many parts");
        continue;
      }
      if (bounds[n]) return fail("a \"]\" is missing");
      ORRERY_ASSIGN_OR_RETURN(bounds[n], expression());
    }
    ORRERY_RETURN_IF_ERROR(tokens_.expect("]"));
    if (is_slice) {
      return make(Expr::Kind::kSlice, "", std::move(of), std::move(bounds[0]), std::move(bounds[1]),
                  std::move(bounds[2]));
    }
    if (!bounds[0]) return fail("an index is missing");
    return make(Expr::Kind::kItem, "", std::move(of), std::move(bounds[0]));
  }

  // (a, b, name=c) after what is called.
  Result<void> arguments(Expr& call) {
    ORRERY_RETURN_IF_ERROR(tokens_.expect("("));
    while (!tokens_.take_operator(")")) {
      std::string name;
      if (!tokens_.done() && tokens_.peek()->kind == Kind::kName && tokens_.is_operator("=", 1)) {
        name = tokens_.take().text;
        tokens_.take();
      }
      ORRERY_ASSIGN_OR_RETURN(ExprPtr value, expression());
      if (name.empty()) {
        ORRERY_RETURN_IF_ERROR(add(call, std::move(value)));
      } else {
        call.depth = std::max(call.depth, value->depth + 1);
        if (call.depth > kMaxSyntaxDepth) return too_deep();
        call.named.emplace_back(std::move(name), std::move(value));
      }
      if (!tokens_.take_operator(",") && !tokens_.is_operator(")")) return fail("a \")\" is missing");
    }
    return {};
  }

  Result<ExprPtr> filters_and_tests(ExprPtr expr) {
    while (true) {
      if (tokens_.take_operator("|")) {
        ORRERY_ASSIGN_OR_RETURN(std::string name, tokens_.name());
        ORRERY_ASSIGN_OR_RETURN(expr, make(Expr::Kind::kFilter, std::move(name), std::move(expr)));
        if (tokens_.is_operator("(")) ORRERY_RETURN_IF_ERROR(arguments(*expr));
      } else if (tokens_.take_name("is")) {
        const bool negated = tokens_.take_name("not");
        ORRERY_ASSIGN_OR_RETURN(std::string name, tokens_.name());
        ORRERY_ASSIGN_OR_RETURN(expr, make(Expr::Kind::kTest, std::move(name), std::move(expr)));
        expr->negated = negated;
        ORRERY_RETURN_IF_ERROR(test_argument(*expr));
      } else if (tokens_.is_operator("(")) {
        ORRERY_ASSIGN_OR_RETURN(expr, make(Expr::Kind::kCall, "", std::move(expr)));
        ORRERY_RETURN_IF_ERROR(arguments(*expr));
      } else {
        return expr;
      }
    }
  }

  // "is equalto(x)" or "is equalto x".
  Result<void> test_argument(Expr& test) {
    if (tokens_.is_operator("(")) return arguments(test);
    const LexToken* next = tokens_.peek();
    if (next == nullptr) return {};
    if (next->kind == Kind::kOperator && next->text != "[" && next->text != "{") return {};
    for (const std::string_view word : {"and", "or", "else", "if", "is", "in", "not"}) {
      if (tokens_.is_name(word)) return {};
    }
    ORRERY_ASSIGN_OR_RETURN(ExprPtr value, primary());
    ORRERY_ASSIGN_OR_RETURN(value, postfix(std::move(value)));
    return add(test, std::move(value));
  }

  Result<ExprPtr> primary() {
    if (tokens_.done()) return fail("an expression ends too early");
    const LexToken& token = tokens_.take();
    switch (token.kind) {
      case Kind::kText: {
        std::string text = token.text;
        while (!tokens_.done() && tokens_.peek()->kind == Kind::kText) text += tokens_.take().text;
        return literal(Value::of(std::move(text)));
      }
      case Kind::kInteger: {
        int64_t value = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        return literal(Value::of(value));
      }
      case Kind::kReal: {
        double value = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        return literal(Value::of(value));
      }
      case Kind::kName:
        if (token.text == "true" || token.text == "True") return literal(Value::of(true));
        if (token.text == "false" || token.text == "False") return literal(Value::of(false));
        if (token.text == "none" || token.text == "None") return literal(Value::none());
        return make(Expr::Kind::kName, token.text);
      case Kind::kOperator:
        if (token.text == "(") return parenthesised();
        if (token.text == "[") return list();
        if (token.text == "{") return dictionary();
        break;
    }
    return fail("an expression is not understood");
  }

  Result<ExprPtr> parenthesised() {
    if (tokens_.take_operator(")")) return make(Expr::Kind::kList, "");
    ORRERY_ASSIGN_OR_RETURN(ExprPtr inner, tuple());
    ORRERY_RETURN_IF_ERROR(tokens_.expect(")"));
    return inner;
  }

  Result<ExprPtr> list() {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr list, make(Expr::Kind::kList, ""));
    while (!tokens_.take_operator("]")) {
      ORRERY_ASSIGN_OR_RETURN(ExprPtr item, expression());
      ORRERY_RETURN_IF_ERROR(add(*list, std::move(item)));
      if (!tokens_.take_operator(",") && !tokens_.is_operator("]")) return fail("a \"]\" is missing");
    }
    return list;
  }

  Result<ExprPtr> dictionary() {
    ORRERY_ASSIGN_OR_RETURN(ExprPtr dict, make(Expr::Kind::kDict, ""));
    while (!tokens_.take_operator("}")) {
      ORRERY_ASSIGN_OR_RETURN(ExprPtr key, expression());
      ORRERY_RETURN_IF_ERROR(tokens_.expect(":"));
      ORRERY_ASSIGN_OR_RETURN(ExprPtr value, expression());
      ORRERY_RETURN_IF_ERROR(add(*dict, std::move(key)));
      ORRERY_RETURN_IF_ERROR(add(*dict, std::move(value)));
      if (!tokens_.take_operator(",") && !tokens_.is_operator("}")) return fail("a \"}\" is missing");
    }
    return dict;
  }

  Tokens& tokens_;
  int nesting_ = 0;
};

class TemplateParser {
 public:
  explicit TemplateParser(const std::vector<Chunk>& chunks) : chunks_(chunks) {}

  Result<Body> run() {
    ORRERY_ASSIGN_OR_RETURN(Body body, parse_body());
    if (at_ < chunks_.size()) return fail("a block ends that has not begun: " + keyword());
    return body;
  }

 private:
  // The first word of the statement that comes next; empty where something else comes.
  std::string keyword() const {
    if (at_ == chunks_.size() || chunks_[at_].kind != Chunk::Kind::kStatement) return {};
    const std::vector<LexToken>& tokens = chunks_[at_].tokens;
    return tokens.empty() || tokens[0].kind != Kind::kName ? std::string() : tokens[0].text;
  }

  // Up to a statement that is not known to begin anything: the caller's end.
  Result<Body> parse_body() {
    if (++depth_ > kMaxSyntaxDepth) return fail("blocks nest too deeply");
    Body body;
    for (; at_ < chunks_.size(); ++at_) {
      const Chunk& chunk = chunks_[at_];
      if (chunk.kind == Chunk::Kind::kText) {
        body.emplace_back().text = chunk.text;
        continue;
      }
      Tokens tokens(chunk.tokens);
      if (chunk.kind == Chunk::Kind::kOutput) {
        Statement& output = body.emplace_back();
        output.kind = Statement::Kind::kOutput;
        ORRERY_ASSIGN_OR_RETURN(output.value, ExpressionParser(tokens).tuple());
        if (!tokens.done()) return fail("an output goes on where it should end");
        continue;
      }
      const std::string word = keyword();
      if (word == "generation" || word == "endgeneration") continue;  // marks answers for training; writes nothing
      if (word.starts_with("end") || word == "else" || word == "elif") break;
      tokens.take_name(word);
      ORRERY_ASSIGN_OR_RETURN(Statement statement, parse_statement(word, tokens));
      body.push_back(std::move(statement));
    }
    --depth_;
    return body;
  }

  Result<Statement> parse_statement(const std::string& word, Tokens& tokens) {
    if (word == "if") return parse_if(tokens);
    if (word == "for") return parse_for(tokens);
    if (word == "set") return parse_set(tokens);
    if (word == "macro") return parse_macro(tokens);
    Statement statement;
    if (word != "break" && word != "continue") return fail("the statement is not known: " + word);
    statement.kind = word == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue;
    ORRERY_RETURN_IF_ERROR(expect_end(tokens));
    return statement;
  }

  static Result<void> expect_end(const Tokens& tokens) {
    if (!tokens.done()) return fail("a statement goes on where it should end");
    return {};
  }

  // Past the statement at at_ and its body; at_ is then at the statement that ends the body.
  Result<Body> inner_body() {
    ++at_;
    ORRERY_ASSIGN_OR_RETURN(Body body, parse_body());
    if (at_ == chunks_.size()) return fail("a block is not closed");
    return body;
  }

  Result<void> expect_keyword(std::string_view word) const {
    if (keyword() != word) return fail("instead of " + std::string(word) + " there is " + keyword());
    return {};
  }

  Result<Statement> parse_if(Tokens& tokens) {
    if (++depth_ > kMaxSyntaxDepth) return fail("blocks nest too deeply");
    Statement statement;
    statement.kind = Statement::Kind::kIf;
    ORRERY_ASSIGN_OR_RETURN(statement.value, ExpressionParser(tokens).tuple());
    ORRERY_RETURN_IF_ERROR(expect_end(tokens));
    ORRERY_ASSIGN_OR_RETURN(statement.body, inner_body());
    if (keyword() == "elif") {
      Tokens next(chunks_[at_].tokens);
      next.take();
      ORRERY_ASSIGN_OR_RETURN(Statement other, parse_if(next));  // ends at the common endif
      statement.otherwise.push_back(std::move(other));
    } else if (keyword() == "else") {
      ORRERY_ASSIGN_OR_RETURN(statement.otherwise, inner_body());
    }
    ORRERY_RETURN_IF_ERROR(expect_keyword("endif"));
    --depth_;
    return statement;
  }

  Result<Statement> parse_for(Tokens& tokens) {
    Statement statement;
    statement.kind = Statement::Kind::kFor;
    const bool in_brackets = tokens.take_operator("(");
    do {
      ORRERY_ASSIGN_OR_RETURN(std::string name, tokens.name());
      statement.names.push_back(std::move(name));
    } while (tokens.take_operator(","));
    if (in_brackets) ORRERY_RETURN_IF_ERROR(tokens.expect(")"));
    if (!tokens.take_name("in")) return fail("a for without in");
    // "if" filters here; it would not be part of the expression in brackets only.
    ORRERY_ASSIGN_OR_RETURN(statement.value, ExpressionParser(tokens).any_of());
    if (tokens.take_name("if")) {
      ORRERY_ASSIGN_OR_RETURN(statement.filter, ExpressionParser(tokens).expression());
    }
    tokens.take_name("recursive");
    ORRERY_RETURN_IF_ERROR(expect_end(tokens));
    ORRERY_ASSIGN_OR_RETURN(statement.body, inner_body());
    if (keyword() == "else") {
      ORRERY_ASSIGN_OR_RETURN(statement.otherwise, inner_body());
    }
    ORRERY_RETURN_IF_ERROR(expect_keyword("endfor"));
    return statement;
  }

  Result<Statement> parse_set(Tokens& tokens) {
    Statement statement;
    statement.kind = Statement::Kind::kSet;
    do {
      ORRERY_ASSIGN_OR_RETURN(std::string name, tokens.name());
      statement.names.push_back(std::move(name));
    } while (tokens.take_operator(","));
    if (tokens.take_operator(".")) {
      ORRERY_ASSIGN_OR_RETURN(statement.attribute, tokens.name());
    }
    if (tokens.take_operator("=")) {
      ORRERY_ASSIGN_OR_RETURN(statement.value, ExpressionParser(tokens).tuple());
      ORRERY_RETURN_IF_ERROR(expect_end(tokens));
      return statement;
    }
    ORRERY_RETURN_IF_ERROR(expect_end(tokens));
    if (statement.names.size() > 1 || !statement.attribute.empty()) return fail("a set without a value");
    statement.kind = Statement::Kind::kSetBlock;
    ORRERY_ASSIGN_OR_RETURN(statement.body, inner_body());
    ORRERY_RETURN_IF_ERROR(expect_keyword("endset"));
    return statement;
  }

  Result<Statement> parse_macro(Tokens& tokens) {
    Statement statement;
    statement.kind = Statement::Kind::kMacro;
    ORRERY_ASSIGN_OR_RETURN(statement.text, tokens.name());
    ORRERY_RETURN_IF_ERROR(tokens.expect("("));
    while (!tokens.take_operator(")")) {
      ORRERY_ASSIGN_OR_RETURN(std::string name, tokens.name());
      statement.names.push_back(std::move(name));
      statement.defaults.emplace_back();
      if (tokens.take_operator("=")) {
        ORRERY_ASSIGN_OR_RETURN(statement.defaults.back(), ExpressionParser(tokens).expression());
      }
      if (!tokens.take_operator(",") && !tokens.is_operator(")")) return fail("a \")\" is missing");
    }
    ORRERY_RETURN_IF_ERROR(expect_end(tokens));
    ORRERY_ASSIGN_OR_RETURN(statement.body, inner_body());
    ORRERY_RETURN_IF_ERROR(expect_keyword("endmacro"));
    return statement;
  }

  const std::vector<Chunk>& chunks_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<Body> parse_template(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) return fail("it is too long: " + std::to_string(source.size()) + " bytes");
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Chunk> chunks, lex(source));
  return TemplateParser(chunks).run();
}

}  // namespace orrery::jinja
