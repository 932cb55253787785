#include <arpa/inet.h>
#include <maxminddb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <initializer_list>

#include "answer_source.h"

namespace holdfast::flaky {
namespace {

using Path = std::initializer_list<const char*>;

std::optional<MMDB_entry_data_s> value_at(MMDB_entry_s& entry, Path path) {
  std::array<const char*, 5> keys{};  // ends with a null
  std::copy(path.begin(), path.end(), keys.begin());
  MMDB_entry_data_s data;
  if (MMDB_aget_value(&entry, &data, keys.data()) != MMDB_SUCCESS || !data.has_data) {
    return std::nullopt;
  }
  return data;
}

// The first of the paths that leads to a string that is not empty.
std::string text_at(MMDB_entry_s& entry, std::initializer_list<Path> paths) {
  for (const auto& path : paths) {
    const auto data = value_at(entry, path);
    if (data && data->type == MMDB_DATA_TYPE_UTF8_STRING && data->data_size > 0) {
      return {data->utf8_string, data->data_size};
    }
  }
  return "";
}

std::string number_at(MMDB_entry_s& entry, std::initializer_list<Path> paths) {
  for (const auto& path : paths) {
    const auto data = value_at(entry, path);
    if (!data) continue;
    std::array<char, 64> text{};
    auto* const end = text.data() + text.size();
    std::to_chars_result result{nullptr, std::errc::invalid_argument};
    // Fixed, with the fewest digits that give the stored number back.
    if (data->type == MMDB_DATA_TYPE_DOUBLE && std::isfinite(data->double_value)) {
      result = std::to_chars(text.data(), end, data->double_value, std::chars_format::fixed);
    } else if (data->type == MMDB_DATA_TYPE_FLOAT && std::isfinite(data->float_value)) {
      result = std::to_chars(text.data(), end, data->float_value, std::chars_format::fixed);
    } else if (data->type == MMDB_DATA_TYPE_UINT32) {
      result = std::to_chars(text.data(), end, data->uint32);
    }
    if (result.ec == std::errc()) return {text.data(), result.ptr};
  }
  return "";
}

std::string joined(std::initializer_list<std::string> pieces) {
  std::string text;
  for (const auto& piece : pieces) {
    if (piece.empty()) continue;
    if (!text.empty()) text += ", ";
    text += piece;
  }
  return text;
}

class MmdbAnswers final : public AnswerSource {
 public:
  // Takes over an open database.
  explicit MmdbAnswers(const MMDB_s& database) : database_(database) {}
  ~MmdbAnswers() override { MMDB_close(&database_); }
  MmdbAnswers(const MmdbAnswers&) = delete;
  MmdbAnswers& operator=(const MmdbAnswers&) = delete;

  std::optional<std::string> content(const Address& address) const override {
    union {
      sockaddr any;
      sockaddr_in v4;
      sockaddr_in6 v6;
    } where;
    std::memset(&where, 0, sizeof where);
    if (address.is_v4) {
      where.v4.sin_family = AF_INET;
      std::memcpy(&where.v4.sin_addr, address.bytes.data() + 12, 4);
    } else {
      where.v6.sin6_family = AF_INET6;
      std::memcpy(&where.v6.sin6_addr, address.bytes.data(), 16);
    }
    int error = MMDB_SUCCESS;
    auto found = MMDB_lookup_sockaddr(&database_, &where.any, &error);
    if (error != MMDB_SUCCESS || !found.found_entry) return std::nullopt;
    auto& entry = found.entry;

    GeoFields fields;
    fields.location = joined({text_at(entry, {{"city", "names", "en"}, {"city"}}),
                              text_at(entry, {{"subdivisions", "0", "names", "en"}, {"state1"}}),
                              text_at(entry, {{"country", "names", "en"}, {"country_code"}})});
    fields.postal_code = text_at(entry, {{"postal", "code"}, {"postcode"}});
    const auto organization = text_at(
        entry, {{"autonomous_system_organization"}, {"traits", "autonomous_system_organization"}});
    const auto number =
        number_at(entry, {{"autonomous_system_number"}, {"traits", "autonomous_system_number"}});
    fields.network_name = number.empty()         ? organization
                          : organization.empty() ? "AS" + number
                                                 : "AS" + number + " " + organization;
    fields.domain = text_at(entry, {{"traits", "domain"}, {"domain"}});
    fields.latitude = number_at(entry, {{"location", "latitude"}, {"latitude"}});
    fields.longitude = number_at(entry, {{"location", "longitude"}, {"longitude"}});
    return geo_body(address.text, fields);
  }

 private:
  MMDB_s database_;
};

class FirstThatKnows final : public AnswerSource {
 public:
  void add(std::unique_ptr<AnswerSource> source) { sources_.push_back(std::move(source)); }

  std::optional<std::string> content(const Address& address) const override {
    for (const auto& source : sources_) {
      if (auto content = source->content(address)) return content;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::unique_ptr<AnswerSource>> sources_;
};

}  // namespace

base::Result<std::unique_ptr<AnswerSource>> open_mmdb(const std::vector<std::string>& paths) {
  auto answers = std::make_unique<FirstThatKnows>();
  for (const auto& path : paths) {
    MMDB_s database;
    const int error = MMDB_open(path.c_str(), MMDB_MODE_MMAP, &database);
    if (error != MMDB_SUCCESS) {
      return base::internal_error(base::ErrorKind::Io,
                                  "cannot open " + path + ": " + MMDB_strerror(error));
    }
    answers->add(std::make_unique<MmdbAnswers>(database));
  }
  return answers;
}

}  // namespace holdfast::flaky
