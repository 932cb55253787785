// Where the healthy answers come from: made up from the address, or looked up in
// a MaxMind-format database. Both give the same body for the same address, always.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "geo_answer.h"

namespace holdfast::flaky {

// One thread; may read a page of the database from disk.
class AnswerSource {
 public:
  virtual ~AnswerSource() = default;
  // None if nothing is known about the address.
  virtual std::optional<std::string> content(const Address& address) const = 0;
};

class GeneratedAnswers final : public AnswerSource {
 public:
  explicit GeneratedAnswers(std::uint64_t edition = 0) : edition_(edition) {}
  std::optional<std::string> content(const Address& address) const override {
    return geo_answer(address, edition_);
  }
  void set_edition(std::uint64_t edition) { edition_ = edition; }
  std::uint64_t edition() const { return edition_; }

 private:
  std::uint64_t edition_;
};

// Understands the layout of MaxMind (country.names.en, location.latitude, ...)
// and the flat one of the DB-IP packages (country_code, latitude, ...). What a
// database does not hold is an empty string or null. Several files (DB-IP comes as
// one for IPv4 and one for IPv6) are asked in turn. Errors: Io, naming the file.
base::Result<std::unique_ptr<AnswerSource>> open_mmdb(const std::vector<std::string>& paths);

}  // namespace holdfast::flaky
