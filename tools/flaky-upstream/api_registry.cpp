// GET /packages/{name}: what a package registry says of a package, with an ETag. A name is one
// segment of any text: "@scope%2Fname", "caf%C3%A9". Those that begin with "missing-" are not
// there.
#include "api.h"
#include "text.h"

namespace holdfast::flaky {
namespace {

std::string package(const std::string& name, std::uint64_t edition) {
  const std::uint64_t luck = number_of(name, edition);
  const std::string version = std::to_string(luck % 10) + "." + std::to_string(luck / 10 % 20) +
                              "." + std::to_string(luck / 200 % 30);
  std::string body;
  append_member(body, "name", name);
  append_member(body, "version", version);
  append_raw_member(body, "downloads", std::to_string(luck / 6000 % 1000000));
  append_raw_member(body, "deprecated", luck % 7 == 0 ? "true" : "false");
  return body;
}

class Registry final : public Api {
 public:
  std::optional<ApiAnswer> answer(const Request& request, std::uint64_t edition) const override {
    constexpr std::string_view kPath = "/packages/";
    const std::string_view path = request.path();
    if (!path.starts_with(kPath)) return std::nullopt;
    const std::string_view segment = path.substr(kPath.size());
    ApiAnswer answer;
    std::string name;
    if (segment.empty() || segment.find('/') != segment.npos || !percent_decode(segment, name)) {
      answer.message = json_error(400, "not a package's name");
      return answer;
    }
    answer.key = std::string(kPath) + name;
    answer.other = [=] { return package(name + "-js", edition); };
    append_member(answer.partial, "name", name);
    if (name.starts_with("missing-")) {
      answer.message.status = 404;
      append_member(answer.message.content, "code", "package_not_found");
      append_member(answer.message.content, "name", name);
      return answer;
    }
    answer.message.content = package(name, edition);
    answer.has_etag = true;
    // As those behind a CDN have it: one word each, so the name as it stands in the path.
    answer.message.fields.emplace_back("Surrogate-Key", "packages package/" + std::string(segment));
    return answer;
  }
};

}  // namespace

std::unique_ptr<Api> make_registry_api() {
  return std::make_unique<Registry>();
}

}  // namespace holdfast::flaky
