// The rules' pointers make a tree of names, and one walk along it finds all their values: what no
// rule names is passed over, and each object is read once however many rules speak of it.
// Then the rules are asked in the order of what they tell an operator: what must not be there, what
// must be, and last whether it is the one that was asked for.
#include "proxy/body_check.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/ip_address.h"
#include "proxy/json_document.h"
#include "upstream/judge.h"

namespace holdfast::proxy {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using upstream::Outcome;
using upstream::Verdict;

Verdict invalid(std::string reason) {
  return {Outcome::InvalidBody, std::move(reason)};
}

// An integer is a number too.
inline JsonTypes types_of(const JsonDocument& json, const element& value) {
  switch (value.type()) {
    case element_type::STRING:
      return kString;
    case element_type::INT64:
    case element_type::UINT64:
      return json.is_integer(value) ? kInteger | kNumber : kNumber;
    case element_type::DOUBLE:
      return kNumber;
    case element_type::BOOL:
      return kBool;
    case element_type::ARRAY:
      return kArray;
    case element_type::OBJECT:
      return kObject;
    case element_type::NULL_VALUE:
      return kNull;
  }
  return 0;
}

std::string kind_of(const JsonDocument& json, const element& value) {
  const JsonTypes types = types_of(json, value);
  return in_words((types & kInteger) != 0 ? kInteger : types);
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

// An integer in the one spelling that can be compared; null if it is none. -0 is 0.
std::optional<std::string> canonical_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (!is_digits(text)) return {};
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size() - 1));
  return (negative && text != "0" ? "-" : "") + std::string(text);
}

bool same_letters(std::string_view one, std::string_view other) {
  return one.size() == other.size() && strncasecmp(one.data(), other.data(), one.size()) == 0;
}

// As an index of an array (RFC 6901, 4).
std::optional<std::size_t> array_index(std::string_view token) {
  if (!is_digits(token) || (token.size() > 1 && token.front() == '0')) return {};
  std::size_t index = 0;
  if (std::from_chars(token.data(), token.data() + token.size(), index).ec != std::errc())
    return {};
  return index;
}

}  // namespace

class BodyCheck::Document {
 public:
  explicit Document(const BodyRules& rules);

  Verdict judge_negative(std::string_view body);
  Verdict judge(std::string_view body, std::span<const PathParameter> parameters);

 private:
  static constexpr std::size_t kSizes = 32;

  // What each value needs first, as all of it is read in the order of the fields.
  struct Node {
    std::string_view token;   // in rules_
    std::size_t sibling = 0;  // the next of the same parent whose token has as many bytes; 0: none
    std::uint64_t found = 0;  // in which document it was last, as they are numbered
    element value;
    JsonTypes types = kAnyType;  // that all rules allow
    bool required = false;
    bool leaf = true;
    // The first child by the size of its token.
    std::array<std::uint32_t, kSizes> by_size{};
    std::vector<std::size_t> children;
    std::optional<std::size_t> index;  // the token as one of an array's
    std::string name;                  // for people: its pointer
  };

  Verdict not_json(std::string objection) const;
  std::size_t node_of(const JsonPointer& pointer);
  std::size_t child_of(const Node& node, std::string_view name) const;
  bool is_found(const Node& node) const { return node.found == count_; }
  const Node* find_values(Node& node, const element& value);
  const Node* find_children(const Node& node);
  const Node* find_elements(const Node& node);
  std::string missing(const Node& node) const;
  bool same_number(const element& value, std::string_view text) const;
  bool is_refused(const element& value, std::string_view text) const;
  Verdict compare(const Node& node, const PathParameter& parameter) const;
  Verdict compare_integer(const Node& node, std::string_view wanted) const;
  bool is_text(const element& value, const PathParameter& parameter) const;

  const BodyRules& rules_;
  JsonDocument json_;
  std::vector<Node> nodes_;  // the document itself first
  // The nodes of the rules, in their order.
  std::vector<std::size_t> required_, equal_, reject_if_;
  std::uint64_t count_ = 0;      // of documents
  const Node* wrong_ = nullptr;  // of the latest: the first value of a wrong type
  std::size_t required_found_ = 0;
};

BodyCheck::Document::Document(const BodyRules& rules)
    : rules_(rules), json_(rules.max_depth), nodes_(1) {
  nodes_.front().name = "the document";
  const auto require = [this](const JsonPointer& pointer, JsonTypes types) {
    const std::size_t at = node_of(pointer);
    nodes_[at].types &= types;
    if (!std::exchange(nodes_[at].required, true)) required_.push_back(at);
    return at;
  };
  for (const Require& rule : rules.require) require(rule.pointer, rule.types);
  for (const Equal& rule : rules.equal) equal_.push_back(require(rule.pointer, kAnyType));
  for (const RejectIf& rule : rules.reject_if) reject_if_.push_back(node_of(rule.pointer));
}

// 0: no rule names it.
inline std::size_t BodyCheck::Document::child_of(const Node& node, std::string_view name) const {
  std::size_t child = node.by_size[name.size() % kSizes];
  while (child != 0 && nodes_[child].token != name) child = nodes_[child].sibling;
  return child;
}

std::size_t BodyCheck::Document::node_of(const JsonPointer& pointer) {
  std::size_t at = 0;
  std::size_t end = 0;
  for (const std::string& token : pointer.tokens) {
    end = pointer.text.find('/', end + 1);
    std::size_t child = child_of(nodes_[at], token);
    if (child == 0) {
      child = nodes_.size();
      Node node;
      node.token = token;
      node.name = pointer.text.substr(0, end);
      node.index = array_index(token);
      node.sibling = std::exchange(nodes_[at].by_size[token.size() % kSizes],
                                   static_cast<std::uint32_t>(child));
      nodes_[at].leaf = false;
      nodes_[at].children.push_back(child);
      nodes_.push_back(std::move(node));
    }
    at = child;
  }
  return at;
}

// Each of these returns what occurs twice, or null.
inline const BodyCheck::Document::Node* BodyCheck::Document::find_values(Node& node,
                                                                         const element& value) {
  // Which of two would a client's parser take? Nobody knows.
  if (is_found(node)) return &node;
  node.found = count_;
  node.value = value;
  if (node.required) {
    ++required_found_;
    if ((node.types & types_of(json_, value)) == 0 && wrong_ == nullptr) wrong_ = &node;
  }
  return node.leaf ? nullptr : find_children(node);
}

const BodyCheck::Document::Node* BodyCheck::Document::find_children(const Node& node) {
  simdjson::dom::object object;
  if (node.value.get(object) != simdjson::SUCCESS) return find_elements(node);
  const auto end = object.end();
  for (auto at = object.begin(); at != end; ++at) {
    const std::size_t child = child_of(node, at.key());
    if (child == 0) continue;
    if (const Node* const twice = find_values(nodes_[child], at.value())) return twice;
  }
  return nullptr;
}

const BodyCheck::Document::Node* BodyCheck::Document::find_elements(const Node& node) {
  simdjson::dom::array array;
  if (node.value.get(array) != simdjson::SUCCESS) return nullptr;
  std::size_t left = node.children.size();
  std::size_t index = 0;
  for (const element item : array) {
    if (left == 0) break;
    for (const std::size_t child : node.children) {
      if (nodes_[child].index != index) continue;
      --left;
      if (const Node* const twice = find_values(nodes_[child], item)) return twice;
    }
    ++index;
  }
  return nullptr;
}

std::string BodyCheck::Document::missing(const Node& node) const {
  const element& root = nodes_.front().value;
  return root.is_object() || root.is_array() ? node.name + " is missing" : "not a JSON object";
}

bool BodyCheck::Document::same_number(const element& value, std::string_view text) const {
  const auto integer = json_.integer_text(value);
  const auto other = canonical_integer(text);
  if (integer && other) return canonical_integer(*integer) == other;
  return json_.same_number(value, text);
}

bool BodyCheck::Document::is_refused(const element& value, std::string_view text) const {
  std::string_view string;
  if (value.get(string) == simdjson::SUCCESS) return string == text;
  if (value.is_number()) return same_number(value, text);
  bool truth = false;
  if (value.get(truth) == simdjson::SUCCESS) return text == (truth ? "true" : "false");
  return value.is_null() && text == "null";
}

Verdict BodyCheck::Document::compare_integer(const Node& node, std::string_view wanted) const {
  // Every integer up to here is a double, and no double beyond is one integer alone.
  constexpr double kExact = 9007199254740992;
  std::optional<std::string> integer;
  std::string_view string;
  if (const auto text = json_.integer_text(node.value)) {
    integer = canonical_integer(*text);
  } else if (node.value.get(string) == simdjson::SUCCESS) {
    integer = canonical_integer(string);
  } else if (const auto number = json_.number(node.value);
             number && std::abs(*number) < kExact && std::trunc(*number) == *number) {
    integer = std::to_string(static_cast<std::int64_t>(*number));
  }
  if (!integer) return invalid(node.name + " is not an integer");
  if (integer == canonical_integer(wanted)) return {};
  constexpr std::size_t kShown = 40;
  return {Outcome::WrongContent,
          "speaks of " + (integer->size() > kShown ? "another integer" : *integer)};
}

bool BodyCheck::Document::is_text(const element& value, const PathParameter& parameter) const {
  const bool either_case =
      parameter.type == ParameterType::Uuid || parameter.type == ParameterType::Hex;
  std::string_view string;
  if (either_case && value.get(string) == simdjson::SUCCESS) {
    return same_letters(string, parameter.value);
  }
  return is_refused(value, parameter.value);
}

Verdict BodyCheck::Document::compare(const Node& node, const PathParameter& parameter) const {
  std::string_view text;
  const bool string = node.value.get(text) == simdjson::SUCCESS;
  // Mostly it is the same text, and what the path says is an address.
  if (string && parameter.type == ParameterType::Ip && text == parameter.value) return {};
  if ((types_of(json_, node.value) & (kArray | kObject | kNull)) != 0) {
    return invalid(node.name + " is " + kind_of(json_, node.value) + ", where {" +
                   std::string(parameter.name) + "} is asked for");
  }
  if (parameter.type == ParameterType::Int) return compare_integer(node, parameter.value);
  if (parameter.type != ParameterType::Ip) {
    if (is_text(node.value, parameter)) return {};
    return {Outcome::WrongContent, node.name + " is not {" + std::string(parameter.name) + "}"};
  }
  const auto answered = string ? canonical_ip(text) : std::nullopt;
  if (!answered) return invalid(node.name + " is not an address");
  const auto asked = canonical_ip(parameter.value);
  if (asked && asked->view() == answered->view()) return {};
  return {Outcome::WrongContent, "speaks of " + std::string(answered->view())};
}

// What json_ has refused.
Verdict BodyCheck::Document::not_json(std::string objection) const {
  return {json_.lacked_memory() ? Outcome::Local : Outcome::InvalidBody, std::move(objection)};
}

Verdict BodyCheck::Document::judge_negative(std::string_view body) {
  if (auto objection = json_.parse(body); !objection.empty()) return not_json(std::move(objection));
  return json_.root().is_object() ? Verdict{} : invalid("not a JSON object");
}

Verdict BodyCheck::Document::judge(std::string_view body,
                                   std::span<const PathParameter> parameters) {
  if (auto objection = json_.parse(body); !objection.empty()) return not_json(std::move(objection));
  ++count_;
  wrong_ = nullptr;
  required_found_ = 0;
  if (const Node* const twice = find_values(nodes_.front(), json_.root())) {
    return invalid(twice->name + " occurs twice");
  }

  for (std::size_t i = 0; i < reject_if_.size(); ++i) {
    const Node& node = nodes_[reject_if_[i]];
    if (!is_found(node)) continue;
    for (const std::string& text : rules_.reject_if[i].values) {
      if (is_refused(node.value, text)) return invalid(node.name + " is \"" + text + "\"");
    }
  }
  if (wrong_ != nullptr) {
    return invalid(wrong_->name + " is " + kind_of(json_, wrong_->value) + ", not " +
                   in_words(wrong_->types));
  }
  if (required_found_ != required_.size()) {
    const auto first = std::find_if(required_.begin(), required_.end(),
                                    [this](std::size_t at) { return !is_found(nodes_[at]); });
    return invalid(missing(nodes_[*first]));
  }
  // That it speaks of something else is said only of what is right in itself.
  Verdict verdict;
  for (std::size_t i = 0; i < equal_.size(); ++i) {
    const std::string_view name = rules_.equal[i].parameter;
    const auto parameter =
        std::find_if(parameters.begin(), parameters.end(),
                     [name](const PathParameter& given) { return given.name == name; });
    if (parameter == parameters.end()) {
      return invalid("the path has no parameter " + std::string(name));
    }
    Verdict next = compare(nodes_[equal_[i]], *parameter);
    if (next.outcome == Outcome::Ok) continue;
    if (next.outcome == Outcome::InvalidBody) return next;
    if (verdict.outcome == Outcome::Ok) verdict = std::move(next);
  }
  return verdict;
}

namespace {

Verdict judge_type(const BodyRules& rules, const upstream::Fields& fields) {
  if (rules.content_type.empty()) return {};
  // Each, should there be several: who knows which one a client takes.
  bool any = false;
  for (const upstream::Field& field : fields) {
    if (!upstream::is_field(field, "Content-Type")) continue;
    any = true;
    if (!has_content_type(field.value, rules.content_type)) {
      return invalid("not " + rules.content_type);
    }
  }
  return any ? Verdict{} : invalid("no Content-Type, " + rules.content_type + " is asked for");
}

Verdict judge_size(const BodyRules& rules, std::uint64_t size) {
  if (size >= rules.min_body_bytes) return {};
  return invalid(std::to_string(size) + " bytes, less than " +
                 std::to_string(rules.min_body_bytes));
}

bool carries_answer(int status) {
  // 203 is a 200 that somebody on the way has changed (RFC 9110, 15.3.4): whether to the worse, the
  // content shows.
  return status == 200 || status == 203;
}

constexpr const char* kNoAnswer = "a status that carries no answer here";

}  // namespace

BodyCheck::BodyCheck(BodyRules rules)
    : rules_(std::move(rules)),
      document_(rules_.needs_json() ? std::make_unique<Document>(rules_) : nullptr) {}

BodyCheck::~BodyCheck() = default;

Verdict BodyCheck::validate(std::span<const PathParameter> parameters,
                            const upstream::Reply& reply) {
  const std::size_t size = reply.body.size();
  if (size > rules_.max_body_bytes) {
    return invalid("more than " + std::to_string(rules_.max_body_bytes) + " bytes, the max_body");
  }
  if (reply.status >= 400) {
    Verdict verdict = document_ ? document_->judge_negative(reply.body) : Verdict{};
    if (verdict.outcome == Outcome::InvalidBody) {
      verdict.reason =
          "a " + std::to_string(reply.status) + " that is not the API's own: " + verdict.reason;
    }
    return verdict;
  }
  const bool typed = !rules_.content_type.empty();
  if (!document_ && !typed && rules_.min_body_bytes == 0) return {};
  if (!carries_answer(reply.status)) return invalid(kNoAnswer);
  Verdict verdict = judge_size(rules_, size);
  if (verdict.outcome == Outcome::Ok) verdict = judge_type(rules_, reply.fields);
  if (verdict.outcome != Outcome::Ok) return verdict;
  return document_ ? document_->judge(reply.body, parameters) : Verdict{};
}

Verdict BodyCheck::validate_head(const upstream::Reply& reply,
                                 std::optional<std::uint64_t> length) const {
  if (document_) {
    return invalid("a content that is larger than max_body, " +
                   std::to_string(rules_.max_body_bytes) +
                   " bytes, cannot be checked as validate asks for it");
  }
  if (!carries_answer(reply.status)) return invalid(kNoAnswer);
  const std::string* const coding = upstream::find_field(reply.fields, "Content-Encoding");
  if (coding != nullptr && !coding->empty() && *coding != "identity") {
    // Identity was asked for, and not every client reads it.
    return invalid("coded, and larger than max_body, " + std::to_string(rules_.max_body_bytes) +
                   " bytes, so that nobody here undoes it");
  }
  if (rules_.min_body_bytes > 0 && !length) {
    return invalid("of no stated length, so that min_body cannot be told by its head");
  }
  Verdict verdict = length ? judge_size(rules_, *length) : Verdict{};
  return verdict.outcome == Outcome::Ok ? judge_type(rules_, reply.fields) : verdict;
}

}  // namespace holdfast::proxy
