#include "proxy/geoip_route.h"

#include "proxy/body_check.h"
#include "proxy/ip_address.h"

namespace holdfast::proxy {
namespace {

constexpr std::string_view kKeyPrefix = "lookup/";

class GeoipRoute final : public Route {
 public:
  GeoipRoute(std::unique_ptr<OfflineGeoip> offline, std::size_t max_body_bytes)
      : offline_(std::move(offline)), check_(lookup_body_rules(max_body_bytes)) {}

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
    const PathParameter ip{"ip", subject(key), ParameterType::Ip};
    return check_.validate({&ip, 1}, reply);
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
  BodyCheck check_;
};

}  // namespace

BodyRules lookup_body_rules(std::size_t max_body_bytes) {
  BodyRules rules;
  rules.json = true;
  rules.max_body_bytes = max_body_bytes;
  for (const char* text :
       {"/ip:string", "/location:string?", "/postal_code:string?", "/network_name:string?",
        "/domain:string?", "/latitude:number?", "/longitude:number?"}) {
    rules.require.push_back(parse_require(text).value());
  }
  rules.equal.push_back(parse_equal("/ip", "ip").value());
  return rules;
}

std::unique_ptr<Route> make_geoip_route(std::unique_ptr<OfflineGeoip> offline,
                                        std::size_t max_body_bytes) {
  return std::make_unique<GeoipRoute>(std::move(offline), max_body_bytes);
}

}  // namespace holdfast::proxy
