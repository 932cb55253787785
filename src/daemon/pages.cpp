#include "daemon/pages.h"

#include <algorithm>
#include <array>

namespace holdfast::daemon {
namespace {

constexpr const char* kLivez = "/livez";
constexpr const char* kReadyz = "/readyz";
constexpr const char* kHealthz = "/healthz";
constexpr const char* kMetrics = "/metrics";
constexpr const char* kStatus = "/status";
constexpr const char* kStatusJson = "/status.json";

// The loops turn. Rendered where it is asked, so that a stuck loop elsewhere
// cannot keep it from saying so.
proxy::Page livez(const PageParts& parts) {
  const auto stuck = parts.liveness.stuck(parts.clock.now());
  proxy::Page page;
  if (stuck.empty()) {
    page.body = "ok\n";
    return page;
  }
  page.status = 503;
  page.body = "stuck:";
  for (const std::string_view name : stuck) page.body.append(" ").append(name);
  page.body += "\n";
  return page;
}

proxy::Page readyz(const PageParts& parts) {
  proxy::Page page;
  page.status = parts.health.ready() ? 200 : 503;
  page.body = parts.health.ready() ? "ok\n" : parts.health.draining() ? "draining\n" : "starting\n";
  return page;
}

proxy::Page healthz(const PageParts& parts) {
  proxy::Page page;
  page.status = parts.health.overall() == observe::HealthState::Down ? 503 : 200;
  page.content_type = "application/json";
  page.body = parts.health.json();
  return page;
}

proxy::Page metrics(const PageParts& parts) {
  proxy::Page page;
  page.content_type = "text/plain; version=0.0.4; charset=utf-8";
  page.body = parts.metrics.scrape();
  return page;
}

proxy::Page status(const PageParts& parts) {
  proxy::Page page;
  page.content_type = "text/html; charset=utf-8";
  page.body = status::to_html(parts.status());
  page.fields = status::html_fields();
  return page;
}

proxy::Page status_for_programs(const PageParts& parts) {
  proxy::Page page;
  page.content_type = "application/json";
  page.body = status::to_json(parts.status());
  return page;
}

}  // namespace

bool is_page(std::string_view path) {
  constexpr std::array<std::string_view, 6> kAll{kLivez,   kReadyz, kHealthz,
                                                 kMetrics, kStatus, kStatusJson};
  return std::find(kAll.begin(), kAll.end(), path) != kAll.end();
}

proxy::Pages make_pages(PageParts parts) {
  return {
      {kLivez, [parts] { return livez(parts); }, nullptr},
      {kReadyz, [parts] { return readyz(parts); }, nullptr},
      {kHealthz, [parts] { return healthz(parts); }, nullptr},
      {kMetrics, [parts] { return metrics(parts); }, &parts.control, true},
      {kStatus, [parts] { return status(parts); }, &parts.control, true},
      {kStatusJson, [parts] { return status_for_programs(parts); }, &parts.control, true},
  };
}

}  // namespace holdfast::daemon
