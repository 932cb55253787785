#include "config/explain_command.h"

#include <algorithm>
#include <string_view>

#include "config/section_reader.h"
#include "config/values.h"

namespace holdfast::config {

using base::invalid_input;

RequestCommand request_command(int argc, const char* const* argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  return first == "explain" ? RequestCommand::Explain
         : first == "check" ? RequestCommand::Check
                            : RequestCommand::None;
}

base::Result<ExplainCommand> make_explain_command(const std::string& url_or_path,
                                                  const std::string& method,
                                                  const std::vector<std::string>& fields) {
  ExplainCommand command;
  if (!is_token(method)) return invalid_input("--method: expected a method such as GET");
  command.method = method;
  // A fragment is the client's own (RFC 9110, 7.1).
  std::string_view target = std::string_view(url_or_path).substr(0, url_or_path.find('#'));
  if (target.empty()) return invalid_input("expected a path as /lookup/8.8.8.8, or a URL");
  if (target.front() != '/' && target != "*") {
    const std::size_t scheme = target.find("://");
    const std::string_view name = target.substr(0, scheme);
    if (scheme == target.npos || (!same_word(name, "http") && !same_word(name, "https"))) {
      return invalid_input(
          "expected a path that begins with a slash, or a URL as http://host/path");
    }
    target.remove_prefix(scheme + 3);
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    command.host = target.substr(0, end);
    target.remove_prefix(end);
    // A client keeps those to itself (RFC 9110, 4.2.4).
    command.host.erase(0, command.host.rfind('@') + 1);
    if (command.host.empty()) return invalid_input("the URL has no host");
  }
  command.target = target;
  if (!target.starts_with('/') && target != "*") command.target.insert(0, 1, '/');
  for (const std::string& field : fields) {
    const std::size_t colon = field.find(':');
    const std::string_view name = trimmed(std::string_view(field).substr(0, colon));
    if (colon == field.npos || !is_token(name)) {
      return invalid_input("--field: expected 'Name: value'");
    }
    const std::string_view value = trimmed(std::string_view(field).substr(colon + 1));
    if (same_field(name, "Host")) {
      command.host = value;
    } else if (is_framing_field(name)) {
      return invalid_input("--field: " + std::string(name) + " belongs to the connection");
    } else {
      command.fields.emplace_back(name, value);
    }
  }
  return command;
}

}  // namespace holdfast::config
