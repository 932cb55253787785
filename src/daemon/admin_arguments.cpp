#include "daemon/admin_arguments.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "base/masked_url.h"

namespace holdfast::daemon {
namespace {

// As many removals must fit into the store's queue.
constexpr unsigned kMostHostBits = 12;
constexpr std::size_t kShownText = 60;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Clients such as curl's --data-urlencode escape an address's colons. None for an escape
// that is broken or stands for a control byte: no argument has one.
std::optional<std::string> decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return std::nullopt;
    plain += c;
  }
  return plain;
}

std::string shown(std::string_view text) {
  return text.size() > kShownText ? std::string(text.substr(0, kShownText)) + "..."
                                  : std::string(text);
}

std::string joined(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text.empty() ? "none" : text;
}

}  // namespace

base::Result<AdminArguments> AdminArguments::read(std::string_view query,
                                                  std::span<const std::string_view> known,
                                                  std::string_view repeatable) {
  AdminArguments arguments;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decoded(pair.substr(0, equals));
    if (!name || std::find(known.begin(), known.end(), *name) == known.end()) {
      return base::invalid_input("unknown parameter \"" + shown(pair.substr(0, equals)) +
                                 "\"; there are: " + joined(known));
    }
    if (*name != repeatable && arguments.find(*name))
      return base::invalid_input(*name + " is given more than once");
    AdminArgument argument{*name, std::nullopt};
    if (equals < pair.size()) {
      argument.value = decoded(pair.substr(equals + 1));
      if (!argument.value)
        return base::invalid_input(*name + ": a broken escape, or one of a control byte");
    }
    arguments.arguments_.push_back(std::move(argument));
  }
  return arguments;
}

const std::string* AdminArguments::find(std::string_view name) const {
  static const std::string kNothing;
  for (const AdminArgument& argument : arguments_) {
    if (argument.name == name) return argument.value ? &*argument.value : &kNothing;
  }
  return nullptr;
}

std::vector<std::string> AdminArguments::all_of(std::string_view name) const {
  std::vector<std::string> values;
  for (const AdminArgument& argument : arguments_) {
    if (argument.name == name) values.push_back(argument.value.value_or(""));
  }
  return values;
}

base::Result<bool> AdminArguments::flag(std::string_view name) const {
  for (const AdminArgument& argument : arguments_) {
    if (argument.name != name) continue;
    if (!argument.value || *argument.value == "true" || *argument.value == "1") return true;
    return base::invalid_input(argument.name + "=" + shown(*argument.value) + ": expected " +
                               argument.name + ", " + argument.name + "=true or " + argument.name +
                               "=1");
  }
  return false;
}

std::string masked_origin(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (text.find("://") != text.npos) return base::masked_url(text);
  return base::masked_url(std::string(kScheme).append(text)).substr(kScheme.size());
}

std::string AdminArguments::text() const {
  std::string text;
  for (const AdminArgument& argument : arguments_) {
    text.append(text.empty() ? "" : " ").append(argument.name);
    if (!argument.value) continue;
    // Somebody may have named an origin by its URL, key and all.
    text.append("=").append(argument.name == "origin" ? masked_origin(*argument.value)
                                                      : *argument.value);
  }
  return text;
}

std::string_view hint_at_path(std::string_view text) {
  const std::string_view before = text.substr(0, text.find('/'));
  const bool address = before.find_first_not_of("0123456789abcdefABCDEF.:") == before.npos;
  if (before.size() == text.size() || (address && before.find_first_of(".:") != before.npos))
    return {};
  return "; a path begins with a slash, a URL with http://";
}

base::Result<std::vector<std::string>> addresses_of_block(const std::string& block) {
  const std::size_t slash = block.find('/');
  const std::string base_text = block.substr(0, slash);
  const bool v6 = base_text.find(':') != std::string::npos;
  std::array<std::uint8_t, 16> address{};
  const std::size_t size = v6 ? 16 : 4;
  unsigned length = 0;
  const char* const end = block.data() + block.size();
  if (slash == std::string::npos ||
      inet_pton(v6 ? AF_INET6 : AF_INET, base_text.c_str(), address.data()) != 1) {
    return base::invalid_input("not a block such as 192.0.2.0/24" +
                               std::string(hint_at_path(block)));
  }
  const auto [stop, error] = std::from_chars(block.data() + slash + 1, end, length);
  if (error != std::errc() || stop != end || length > size * 8) {
    return base::invalid_input("not a block such as 192.0.2.0/24");
  }
  const auto host_bits = static_cast<unsigned>(size * 8) - length;
  if (host_bits > kMostHostBits) {
    return base::invalid_input("at most 4096 addresses at once; purge all, or smaller blocks");
  }
  // The last two bytes hold all the host bits.
  const unsigned low = (static_cast<unsigned>(address[size - 2]) << 8) | address[size - 1];
  if ((low & ((1U << host_bits) - 1)) != 0) {
    return base::invalid_input("the address has bits beyond the block's");
  }
  std::vector<std::string> texts;
  for (unsigned i = 0; i < 1U << host_bits; ++i) {
    address[size - 2] = static_cast<std::uint8_t>((low + i) >> 8);
    address[size - 1] = static_cast<std::uint8_t>(low + i);
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(v6 ? AF_INET6 : AF_INET, address.data(), text.data(), text.size());
    texts.emplace_back(text.data());
  }
  return texts;
}

}  // namespace holdfast::daemon
