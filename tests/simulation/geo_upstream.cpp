#include "geo_upstream.h"

#include <functional>

#include "base/http_date.h"
#include "watch.h"

namespace holdfast::simulation {
namespace {

using std::chrono::seconds;
using upstream::find_field;
using upstream::test::Fault;

constexpr std::string_view kGeo = "/geoip/";
// Marks a reply that means what it says; nothing in src reads or keeps it.
constexpr const char* kMark = "X-Version";

// SplitMix64's last steps: neighbours are not alike.
std::uint64_t luck(std::uint64_t seed, const std::string& target, std::uint64_t number) {
  std::uint64_t mixed = seed * 0x9e3779b97f4a7c15 + std::hash<std::string>{}(target) + number;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

seconds longest(seconds lifetime, double jitter) {
  return seconds(static_cast<seconds::rep>(static_cast<double>(lifetime.count()) * (1 + jitter)));
}

}  // namespace

upstream::Transport::AttemptId GeoUpstream::start(const upstream::Sending& sending,
                                                  const upstream::Request& request,
                                                  Callback callback) {
  if (seed_) {
    const std::string* fetch = find_field(request.fields, Watch::kNameField);
    const std::uint64_t number = asked_[fetch ? *fetch : request.target]++;
    random_ = base::Random(luck(*seed_, request.target, number));
  }
  return SimulatedUpstream::start(sending, request, std::move(callback));
}

void GeoUpstream::change(const std::string& target) {
  const auto changed = current_.extract(target);
  if (!changed.empty()) changed.mapped()->changed_at = scheduler_.now();
}

void GeoUpstream::change_all() {
  while (!current_.empty()) change(current_.begin()->first);
}

const Version* GeoUpstream::said(const std::string& target, const std::string& body) const {
  const auto found = by_body_.find(body);
  if (found == by_body_.end()) return nullptr;
  const Version& version = *found->second;
  return version.target == target && version.said_at ? &version : nullptr;
}

std::optional<base::SteadyTime> GeoUpstream::said_missing(const std::string& target) const {
  const auto found = missing_.find(target);
  return found == missing_.end() ? std::nullopt : std::optional(found->second);
}

void GeoUpstream::compose(Fault fault, const upstream::Request& request, upstream::Reply& reply) {
  if (!request.target.starts_with(kGeo)) {
    reply.body = "{}";
    return;
  }
  if (fault == Fault::None || fault == Fault::Tail || fault == Fault::Slow5s) {
    const Version& version = current(request.target);
    if (confirmed_by(request) == &version) {
      reply.status = 304;
    } else {
      reply.body = version.body;
    }
    return add_fields(version, reply);
  }
  if (fault == Fault::Stray304) {
    // It may lie about what is current, and then nobody can know; but a 304 about
    // another entity tag confirms nothing (RFC 9111, 4.3.4).
    const Version* version = confirmed_by(request);
    if (version && random_.uniform() < 0.5) {
      add_fields(*version, reply);
    } else {
      reply.fields.push_back({"ETag", "\"stray\""});
    }
    return;
  }
  // As tempting as can be, and not to be believed: the fault spoils it.
  const std::string target =
      fault == Fault::Wrong ? std::string(kGeo) + "203.0.113.99" : request.target;
  reply.body = content(target, "decoy", ++decoys_);
  if (fault == Fault::NotFound || fault == Fault::Gone) {  // kept for NEGATIVE_TTL
    reply.fields.push_back({"Content-Type", "application/problem+json"});
    // ... if it may be: whatever is stored, it must not be lost by that.
    if (random_.uniform() < 0.3) reply.fields.push_back({"Cache-Control", "no-store"});
    return;
  }
  reply.fields.push_back({"Cache-Control", "max-age=100000"});
  reply.fields.push_back({"ETag", "\"decoy\""});
}

void GeoUpstream::delivered(const std::string& target, const upstream::Reply& reply) {
  if (reply.transport != upstream::Outcome::Ok) return;
  const bool own = find_field(reply.fields, "Content-Type") != nullptr;
  if (own && (reply.status == 404 || reply.status == 410)) {
    missing_[target] = scheduler_.now();
    if (find_field(reply.fields, "Cache-Control") != nullptr) forbidden_.insert(target);
  }
  const std::string* mark = find_field(reply.fields, kMark);
  if (mark && (reply.status == 200 || reply.status == 304)) {
    Version& version = versions_[std::stoull(*mark) - 1];
    version.said_at = scheduler_.now();
    if (!version.may_store) forbidden_.insert(target);
  }
}

Version& GeoUpstream::current(const std::string& target) {
  Version*& version = current_[target];
  if (version) return *version;
  version = &versions_.emplace_back();
  version->number = versions_.size();
  version->target = target;
  version->body = content(target, "v", version->number);
  by_body_[version->body] = version;
  std::optional<base::Random> own;
  if (seed_) own.emplace(luck(~*seed_, target, versions_of_[target]++));
  base::Random& chance = own ? *own : random_;
  if (chance.uniform() < 0.6) {
    version->etag = "\"" + std::to_string(version->number) + "\"";
    version->fields.push_back({"ETag", version->etag});
  }
  if (chance.uniform() < 0.4) {
    version->last_modified = base::format_http_date(base::WallTime(std::chrono::hours(400'000)) +
                                                    seconds(version->number));
    version->fields.push_back({"Last-Modified", version->last_modified});
  }
  draw_caching(*version, chance);
  return *version;
}

void GeoUpstream::draw_caching(Version& version, base::Random& luck) const {
  const auto says = [&](std::string value) {
    version.fields.push_back({"Cache-Control", std::move(value)});
  };
  const seconds some(1 + luck.below(120));
  const std::string max_age = "max-age=" + std::to_string(some.count());
  std::optional<seconds> stated;
  seconds beyond = std::max(policy_.stale_while_revalidate, policy_.stale_if_error);
  bool strict = false;
  switch (luck.below(24)) {
    case 0:
      says("no-store");
      version.may_store = false;
      break;
    case 1:
      says("private, " + max_age);
      version.may_store = false;
      break;
    case 2:
      version.fields.push_back({"Vary", "*"});
      version.may_store = false;
      break;
    case 3:
      says("no-cache");
      stated = seconds(0);
      strict = true;
      break;
    case 4:
      says(max_age + ", must-revalidate");
      stated = some;
      strict = true;
      break;
    case 5:
      says("s-maxage=" + std::to_string(some.count()) + ", max-age=100000, proxy-revalidate");
      stated = some;
      strict = true;
      break;
    case 6:
    case 7:
      says(max_age);
      says("stale-while-revalidate=5, stale-if-error=15");  // a second line counts as well
      stated = some;
      beyond = seconds(15);
      break;
    case 8:
      version.expires_after = stated = some;
      break;
    case 9:
      version.fields.push_back({"Expires", "0"});
      stated = seconds(0);
      break;
    case 10:
      says("max-age=soon");
      stated = seconds(0);
      break;
    case 11:
      says(max_age);
      version.fields.push_back({"Age", "3"});
      stated = some;
      break;
    case 12:
    case 13:
      says(max_age);
      stated = some;
      break;
    default:  // nothing: the policy's own lifetime
      break;
  }
  if (policy_.ttl_override) {
    version.may_store = true;
    stated.reset();
    strict = false;
    beyond = std::max(policy_.stale_while_revalidate, policy_.stale_if_error);
  }
  version.fresh_for = stated ? *stated : longest(policy_.ttl, policy_.jitter);
  version.usable_for = version.fresh_for + (strict ? seconds(0) : beyond);
}

// Which version a conditional request names, if it is one of this target's.
const Version* GeoUpstream::confirmed_by(const upstream::Request& request) const {
  const std::string* etag = find_field(request.fields, "If-None-Match");
  const std::string* since = find_field(request.fields, "If-Modified-Since");
  for (const Version& version : versions_) {
    if (version.target != request.target) continue;
    if (etag ? version.etag == *etag : since && version.last_modified == *since) return &version;
  }
  return nullptr;
}

void GeoUpstream::add_fields(const Version& version, upstream::Reply& reply) const {
  reply.fields = version.fields;
  reply.fields.push_back({kMark, std::to_string(version.number)});
  if (version.expires_after) {
    const base::WallTime wall = scheduler_.clock().wall();
    reply.fields.push_back({"Date", base::format_http_date(wall)});
    reply.fields.push_back({"Expires", base::format_http_date(wall + *version.expires_after)});
  }
}

std::string GeoUpstream::content(const std::string& target, const char* kind,
                                 std::uint64_t number) const {
  return R"({"ip":")" + target.substr(kGeo.size()) + R"(","location":")" + kind +
         std::to_string(number) +
         R"(","postal_code":"","network_name":"","domain":"","latitude":1.5,"longitude":-2})";
}

}  // namespace holdfast::simulation
