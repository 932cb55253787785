#include "upstream/outgoing.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/ascii.h"

namespace holdfast::upstream {

std::string name_as_read(std::string_view name) {
  std::string read(name);
  std::transform(name.begin(), name.end(), read.begin(),
                 [](char c) { return c == '_' ? '-' : base::ascii_lower(c); });
  return read;
}

bool printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

std::string escaped_for_query(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || (c >= '0' && c <= '9') || std::string_view("-._~").find(c) != std::string::npos) {
      out += c;
    } else {
      out.append("%").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15U]);
    }
  }
  return out;
}

Request with_credential(Request request, const Credential& credential, const std::string& token) {
  if (credential.in == Credential::In::Query) {
    request.target += request.target.find('?') == std::string::npos ? '?' : '&';
    request.target += credential.name + "=" + escaped_for_query(token);
    return request;
  }
  const bool bearer = credential.in == Credential::In::Bearer;
  const std::string name = bearer ? "Authorization" : credential.name;
  std::erase_if(request.fields, [read = name_as_read(name)](const Field& field) {
    return name_as_read(field.name) == read;
  });
  request.fields.push_back({name, bearer ? "Bearer " + token : token});
  return request;
}

bool is_field_name(std::string_view text) {
  const auto is_token_char = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_field_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), is_control);
}

Fields head_fields(const Fields& fields, const std::string& host, const std::string& user_agent) {
  Fields lines;
  for (const Field& field : fields) {
    // Without a value it would be a field of libcurl's own that is not wanted.
    if (field.name.empty() || field.value.find_first_not_of(' ') == std::string::npos) continue;
    if (printable(field.name) && printable(field.value)) lines.push_back(field);
  }
  if (!host.empty() && find_field(fields, "Host") == nullptr) lines.push_back({"Host", host});
  // A request without it takes any coding (RFC 9110, 12.5.3). Some code what they send all
  // the same; see undo_content_codings().
  lines.push_back({"Accept-Encoding", "identity"});
  // As libcurl would add them itself.
  if (find_field(fields, "User-Agent") == nullptr) lines.push_back({"User-Agent", user_agent});
  if (find_field(fields, "Accept") == nullptr) lines.push_back({"Accept", "*/*"});
  return lines;
}

Fields verbatim_fields(const Fields& fields, const std::string& host) {
  Fields lines;
  for (const Field& field : fields) {
    if (is_field_name(field.name) && is_field_value(field.value)) lines.push_back(field);
  }
  if (!host.empty() && find_field(fields, "Host") == nullptr) lines.push_back({"Host", host});
  return lines;
}

}  // namespace holdfast::upstream
