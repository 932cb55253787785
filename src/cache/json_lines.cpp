#include "cache/json_lines.h"

#include <simdjson.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <span>

#include "cache/base64.h"
#include "cache/row.h"
#include "observe/log.h"

namespace holdfast::cache {
namespace {

using simdjson::dom::element;

// Those that whoever sends the answer computes: twice in one answer, they would
// contradict each other.
constexpr std::array<std::string_view, 10> kComputed{
    "Age",  "Cache-Control",     "Connection", "Content-Encoding", "Content-Length", "Date",
    "ETag", "Transfer-Encoding", "Vary",       "X-Request-ID"};

void append_text(std::string& out, std::string_view name, std::string_view text) {
  const bool utf8 = simdjson::validate_utf8(text.data(), text.size());
  out.append(out.back() == '{' ? "\"" : ",\"").append(name);
  out.append(utf8 ? "\":\"" : "_base64\":\"");
  utf8 ? observe::append_json_escaped(out, text) : append_base64(out, text);
  out += '"';
}

void append_number(std::string& out, std::string_view name, std::int64_t value) {
  out.append(",\"").append(name).append("\":").append(std::to_string(value));
}

bool is_token(std::string_view text) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOther.find(c) != kOther.npos;
  });
}

bool is_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

// Of this connection, or of a content's framing: nobody keeps those.
constexpr std::array<std::string_view, 5> kNeverKept{"Age", "Connection", "Content-Length",
                                                     "Transfer-Encoding", "X-Request-ID"};

struct KindName {
  Kind kind;
  std::string_view name;
};
constexpr std::array<KindName, 2> kKinds{
    {{Kind::Verbatim, "verbatim"}, {Kind::Variants, "variants"}}};

// RFC 9110, 5: lines of "name: value" that end in CRLF, and nothing between them.
bool are_field_lines(std::string_view fields, std::span<const std::string_view> others_say) {
  while (!fields.empty()) {
    const std::size_t end = fields.find("\r\n");
    const std::size_t colon = fields.find(':');
    if (end == fields.npos || colon > end) return false;
    const std::string_view name = fields.substr(0, colon);
    if (!is_token(name) || !is_value(fields.substr(colon + 1, end - colon - 1))) return false;
    for (const std::string_view computed : others_say) {
      if (name.size() == computed.size() &&
          strncasecmp(name.data(), computed.data(), name.size()) == 0) {
        return false;
      }
    }
    fields.remove_prefix(end + 2);
  }
  return true;
}

// Absent counts as empty, unless `required`.
bool get_text(const element& line, const char* name, const char* base64_name, std::string& text,
              bool required) {
  std::string_view value;
  if (line[base64_name].get(value) == simdjson::SUCCESS) return decode_base64(value, text);
  const auto error = line[name].get(value);
  text = error == simdjson::SUCCESS ? value : std::string_view();
  return error == simdjson::SUCCESS || (error == simdjson::NO_SUCH_FIELD && !required);
}

bool get_number(const element& line, const char* name, std::int64_t& value, bool required) {
  value = 0;
  const auto error = line[name].get(value);
  if (error == simdjson::NO_SUCH_FIELD) return !required;
  return error == simdjson::SUCCESS && value >= 0;
}

// A row's, but over the fields as they are: a later release may pack others. Text, as
// many a reader of JSON keeps 53 bits of a number.
// Nor over what numbers of one file mean in no other.
std::string checksum_text(Row row, std::string_view fields, Kind kind) {
  std::string packed;
  row.fields = kind == Kind::Response ? fields : pack_fields(fields, kind, packed);
  row.seen = 0;
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%016" PRIx64, static_cast<std::uint64_t>(checksum(row)));
  return text.data();
}

}  // namespace

namespace {

void append_tags(std::string& out, std::string_view tags) {
  if (tags.empty()) return;
  out += ",\"tags\":[";
  const char* between = "";
  for_each_tag(tags, [&](std::string_view tag) {
    out.append(between).append("\"");
    observe::append_json_escaped(out, tag);
    out += '"';
    between = ",";
  });
  out += ']';
  if (has_more_tags(tags)) out += ",\"more_tags\":true";
}

// As they are kept. False: they could not be.
bool get_tags(const element& line, std::string& tags) {
  bool more = false;
  if (element given; line["more_tags"].get(given) == simdjson::SUCCESS) {
    if (given.get(more) != simdjson::SUCCESS) return false;
  }
  tags = more ? "\n" : "";
  element given;
  if (line["tags"].get(given) != simdjson::SUCCESS) return !more;
  simdjson::dom::array array;
  if (given.get(array) != simdjson::SUCCESS) return false;
  std::size_t count = 0;
  for (const element one : array) {
    std::string_view tag;
    if (one.get(tag) != simdjson::SUCCESS || !is_kept_tag(tag) || ++count > kMostTags) return false;
    if (count > 1) tags += '\n';
    tags += tag;
  }
  return true;
}

}  // namespace

void append_json_line(std::string& out, std::string_view key, const StoredResponse& stored) {
  out += '{';
  append_text(out, "key", key);
  append_number(out, "status", stored.status);
  append_number(out, "response_time_ms", stored.response_time.time_since_epoch().count());
  append_number(out, "initial_age", stored.initial_age.count());
  append_number(out, "freshness_lifetime", stored.freshness_lifetime.count());
  append_number(out, "stale_while_revalidate", stored.stale_while_revalidate.count());
  append_number(out, "stale_if_error", stored.stale_if_error.count());
  if (!stored.upstream_etag.empty()) append_text(out, "upstream_etag", stored.upstream_etag);
  if (!stored.upstream_last_modified.empty()) {
    append_text(out, "upstream_last_modified", stored.upstream_last_modified);
  }
  for (const KindName& kind : kKinds) {
    if (kind.kind == stored.kind) append_text(out, "kind", kind.name);
  }
  append_text(out, "fields", stored.fields);
  append_text(out, "body", stored.body);
  append_tags(out, stored.tags);
  std::string packed;
  append_text(out, "checksum",
              checksum_text(to_row(key, stored, packed), stored.fields, stored.kind));
  out += "}\n";
}

struct JsonLineReader::Parser {
  simdjson::dom::parser parser;
};

JsonLineReader::JsonLineReader() : parser_(std::make_unique<Parser>()) {}
JsonLineReader::~JsonLineReader() = default;

base::Result<StoredPtr> JsonLineReader::read(std::string_view line, std::string& key) {
  element root;
  // Newer parsers skip it.
  if (line.starts_with("\xef\xbb\xbf")) {
    return base::invalid_input("it begins with a byte order mark");
  }
  const auto error = parser_->parser.parse(line.data(), line.size()).get(root);
  if (error != simdjson::SUCCESS) return base::invalid_input(simdjson::error_message(error));
  if (!root.is_object()) return base::invalid_input("not an object");
  std::string etag;
  std::string modified;
  std::string fields;
  std::string body;
  struct Text {
    const char* name;
    const char* base64_name;
    std::string& to;
    bool required;
  };
  for (const Text& text :
       {Text{"key", "key_base64", key, true},
        Text{"upstream_etag", "upstream_etag_base64", etag, false},
        Text{"upstream_last_modified", "upstream_last_modified_base64", modified, false},
        Text{"fields", "fields_base64", fields, false}, Text{"body", "body_base64", body, true}}) {
    if (!get_text(root, text.name, text.base64_name, text.to, text.required)) {
      return base::invalid_input(std::string(text.name) + " is missing or not text");
    }
  }
  Row row;
  struct Number {
    const char* name;
    std::int64_t& to;
    bool required;
  };
  for (const Number& number :
       {Number{"status", row.status, true}, Number{"response_time_ms", row.response_time, true},
        Number{"initial_age", row.initial_age, false},
        Number{"freshness_lifetime", row.freshness_lifetime, true},
        Number{"stale_while_revalidate", row.stale_while_revalidate, false},
        Number{"stale_if_error", row.stale_if_error, false}}) {
    if (!get_number(root, number.name, number.to, number.required)) {
      return base::invalid_input(std::string(number.name) + " is missing or not a number from 0");
    }
  }
  Kind kind = Kind::Response;
  if (element given; root["kind"].get(given) == simdjson::SUCCESS) {
    const auto* const named = std::find_if(kKinds.begin(), kKinds.end(), [&](const KindName& one) {
      std::string_view name;
      return given.get(name) == simdjson::SUCCESS && name == one.name;
    });
    if (named == kKinds.end()) return base::invalid_input("kind is none that is known");
    kind = named->kind;
  }
  std::string tags;
  if (!get_tags(root, tags)) return base::invalid_input("tags are no list of tags");
  row.tags = tags;
  row.key = key;
  row.upstream_etag = etag;
  row.upstream_last_modified = modified;
  row.body = body;
  if (element given; root["checksum"].get(given) == simdjson::SUCCESS) {
    std::string_view text;
    if (given.get(text) != simdjson::SUCCESS || text != checksum_text(row, fields, kind)) {
      return base::invalid_input(
          "does not match its checksum: it was damaged, or changed by hand without taking that "
          "out");
    }
  }
  const std::span<const std::string_view> others_say =
      kind == Kind::Response ? std::span<const std::string_view>(kComputed) : kNeverKept;
  if (!are_field_lines(fields, others_say))
    return base::invalid_input("fields are not field lines to keep");
  if (!is_value(etag) || !is_value(modified)) {
    return base::invalid_input("a validator has a control character");
  }
  std::string packed;
  row.fields = pack_fields(fields, kind, packed);
  StoredPtr stored = from_row(row);
  if (!stored) return base::invalid_input("status or response_time_ms is out of range");
  return stored;
}

}  // namespace holdfast::cache
