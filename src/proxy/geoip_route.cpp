#include "proxy/geoip_route.h"

#include "proxy/geoip_body.h"
#include "proxy/ip_address.h"
#include "proxy/json_object.h"
#include "upstream/judge.h"

namespace holdfast::proxy {
namespace {

constexpr std::string_view kKeyPrefix = "lookup/";

class GeoipRoute final : public Route {
 public:
  GeoipRoute(std::unique_ptr<OfflineGeoip> offline, std::size_t max_body_bytes)
      : offline_(std::move(offline)), validator_(max_body_bytes), object_(max_body_bytes) {}

  std::string_view name() const override { return "lookup"; }
  std::string_view prefix() const override { return "/lookup/"; }

  // The query is not part of the key: the upstream never sees it.
  const char* key(std::string_view rest, std::string_view, std::string& key) const override {
    return key_of(canonical_ip_from_path(rest), key);
  }

  std::string_view batch_path() const override { return "/lookup"; }
  const char* key_of_subject(std::string_view subject, std::string& key) const override {
    return key_of(canonical_ip(subject), key);
  }

  std::string_view subject(std::string_view key) const override {
    return key.substr(kKeyPrefix.size());
  }

  upstream::Request upstream_request(std::string_view key) const override {
    upstream::Request request;
    request.target = "/geoip/" + std::string(subject(key));
    request.fields.push_back({"Accept", "application/json"});
    return request;
  }

  upstream::Verdict validate(std::string_view key, const upstream::Reply& reply) override {
    if (upstream::is_negative(reply.status)) {
      // A balancer's page says nothing of the address.
      std::string objection = object_.objection(reply.body);
      if (objection.empty()) return {};
      return {upstream::Outcome::InvalidBody,
              "a " + std::to_string(reply.status) + " that is not the API's own: " + objection};
    }
    // 203 is a 200 that somebody on the way has changed (RFC 9110, 15.3.4): whether to the
    // worse, the content shows.
    if (reply.status != 200 && reply.status != 203) {
      return {upstream::Outcome::InvalidBody, "a status that carries no answer here"};
    }
    return validator_.validate(subject(key), reply.body);
  }

  std::optional<std::string> offline_body(std::string_view key) override {
    return offline_ ? offline_->lookup(subject(key)) : std::nullopt;
  }

 private:
  static const char* key_of(const std::optional<IpText>& ip, std::string& key) {
    if (!ip) return "not an IPv4 or IPv6 address";
    key.assign(kKeyPrefix);
    key.append(ip->view());
    return nullptr;
  }

  std::unique_ptr<OfflineGeoip> offline_;
  GeoipBodyValidator validator_;
  JsonObjectCheck object_;
};

}  // namespace

std::unique_ptr<Route> make_geoip_route(std::unique_ptr<OfflineGeoip> offline,
                                        std::size_t max_body_bytes) {
  return std::make_unique<GeoipRoute>(std::move(offline), max_body_bytes);
}

}  // namespace holdfast::proxy
