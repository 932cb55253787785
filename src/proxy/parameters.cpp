#include "proxy/parameters.h"

#include <algorithm>
#include <cassert>

#include "proxy/ip_address.h"
#include "proxy/percent_encoding.h"

namespace holdfast::proxy {
namespace {

struct TypeName {
  std::string_view name;
  ParameterType type;
};
constexpr std::array<TypeName, kParameterTypes - 1> kTypeNames{{
    {"ip", ParameterType::Ip},
    {"uuid", ParameterType::Uuid},
    {"int", ParameterType::Int},
    {"hex", ParameterType::Hex},
    {"rest", ParameterType::Rest},
}};

constexpr std::size_t kMostDigits = 18;  // that many always fit into 64 bits
constexpr std::size_t kMostHexDigits = 128;
constexpr std::size_t kUuidSize = 36;

bool is_hex_digit(char c) {
  return hex_digit(c) >= 0;
}

bool is_int(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > kMostDigits) return false;
  if (text[0] == '0' && (negative || text.size() > 1)) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_uuid(std::string_view text) {
  if (text.size() != kUuidSize) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : !is_hex_digit(text[i])) return false;
  }
  return true;
}

bool is_hex_number(std::string_view text) {
  return !text.empty() && text.size() <= kMostHexDigits &&
         std::all_of(text.begin(), text.end(), is_hex_digit);
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'F';
}

}  // namespace

std::optional<ParameterType> parameter_type(std::string_view name) {
  for (const TypeName& known : kTypeNames) {
    if (known.name == name) return known.type;
  }
  return std::nullopt;
}

std::vector<std::string> parameter_type_names() {
  std::vector<std::string> names;
  for (const TypeName& known : kTypeNames) names.emplace_back(known.name);
  return names;
}

const char* parameter_objection(ParameterType type) {
  switch (type) {
    case ParameterType::Ip:
      return "not an IPv4 or IPv6 address";
    case ParameterType::Uuid:
      return "not a UUID";
    case ParameterType::Int:
      return "not a decimal integer of at most 18 digits";
    case ParameterType::Hex:
      return "not 1 to 128 hexadecimal digits";
    case ParameterType::Segment:
    case ParameterType::Rest:
      break;
  }
  return nullptr;
}

bool Parameters::take(ParameterType type, std::string_view text) {
  assert(size_ < kMost);
  switch (type) {
    case ParameterType::Ip:
      return take_ip(text);
    case ParameterType::Uuid:
      return is_uuid(text) && take_lower(text);
    case ParameterType::Int:
      if (!is_int(text)) return false;
      break;
    case ParameterType::Hex:
      return is_hex_number(text) && take_lower(text);
    case ParameterType::Segment:
      if (text.empty()) return false;
      break;
    case ParameterType::Rest:
      break;
  }
  add(text);
  return true;
}

bool Parameters::take_ip(std::string_view text) {
  // What most paths with an address have.
  if (is_canonical_ipv4(text)) {
    add(text);
    return true;
  }
  const std::optional<IpText> ip = canonical_ip_from_path(text);
  if (!ip) return false;
  std::array<char, kLongestCopy>& copy = copies_[size_];
  const std::string_view canonical = ip->view();
  std::copy(canonical.begin(), canonical.end(), copy.begin());
  add({copy.data(), canonical.size()});
  return true;
}

bool Parameters::take_lower(std::string_view text) {
  if (std::none_of(text.begin(), text.end(), is_upper)) {
    add(text);
    return true;
  }
  std::array<char, kLongestCopy>& copy = copies_[size_];
  std::transform(text.begin(), text.end(), copy.begin(),
                 [](char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; });
  add({copy.data(), text.size()});
  return true;
}

}  // namespace holdfast::proxy
