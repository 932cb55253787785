#include "config/mistyped.h"

#include "config/setting_table.h"
#include "start.h"

using namespace holdfast::config;

namespace {

// What is said of one variable beside ordinary ones.
std::string said_of(const std::string& name) {
  const auto warnings = mistyped_variables({"PATH", name, "HOME"});
  REQUIRE(warnings.size() <= 1);
  return warnings.empty() ? std::string() : warnings.front();
}

}  // namespace

TEST_CASE("a variable that is nearly a setting's is told, with the one that was meant") {
  const std::vector<std::pair<std::string, std::string>> all = {
      {"API_TOKNE", "API_TOKEN"},
      {"API_TOKENS", "API_TOKEN"},
      {"API_TOKENFILE", "API_TOKEN_FILE"},
      {"API_TOKEN_FIEL", "API_TOKEN_FILE"},
      {"APIURL", "API_URL"},
      {"API_ULR", "API_URL"},
      {"PAI_URL", "API_URL"},
      {"API_URLS", "API_URL"},
      {"api_url", "API_URL"},
      {"API-URL", "API_URL"},
      {"CAHCE_TTL", "CACHE_TTL"},
      {"CACHE_TLT", "CACHE_TTL"},
      {"CACHETTL", "CACHE_TTL"},
      {"STALE_ON_ERROR", "STALE_IF_ERROR"},
      {"STALE_IF_EROR", "STALE_IF_ERROR"},
      {"LOGLEVEL", "LOG_LEVEL"},
      {"LOG_LEVLE", "LOG_LEVEL"},
      {"WORKER", "WORKERS"},
      {"PROT", "PORT"},
      {"BNID", "BIND"},
      {"HEGDE", "HEDGE"},
      {"UPSTREAM_HTTP", "UPSTREAM_HTTP2"},
      {"MAX_CONECTION", "MAX_CONNECTIONS"},
      {"HOLDFAST_API_URL", "API_URL"},
      {"HOLDFAST_API_TOKNE", "API_TOKEN"},
      {"HOLDFAST_PORT", "PORT"},
      {"HOLDFAST_CONFG", "HOLDFAST_CONFIG"},
      {"HOLDFAST_CONFIG_FILE", "HOLDFAST_CONFIG"},
      {"HOLDFASTCONFIG", "HOLDFAST_CONFIG"},
  };
  for (const auto& one : all) {
    const std::string& name = one.first;
    CAPTURE(name);
    CHECK(said_of(name) == "the environment's " + name +
                               " is no setting and changes nothing; did you mean " + one.second +
                               "?");
  }
}

TEST_CASE("of ordinary variables nothing is said") {
  const std::vector<std::string> all = {
      "PATH", "HOME", "USER", "LOGNAME", "SHELL", "SHLVL", "PWD", "OLDPWD", "TERM", "LANG",
      "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_TIME", "TZ", "MAIL", "EDITOR", "VISUAL", "PAGER",
      "DISPLAY", "HOSTNAME", "HOST", "HOSTTYPE", "COLUMNS", "LINES", "LESS", "LS_COLORS", "_",
      "TMPDIR", "TEMP", "BIN", "SBIN", "ENV", "PS1", "IFS", "DEBUG", "VERBOSE", "MODE", "URL",
      "http_proxy", "https_proxy", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
      "LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "SSH_AUTH_SOCK", "SSH_CONNECTION",
      "SUDO_USER", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "container", "container_uuid",
      // systemd
      "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MAINPID", "MANAGERPID",
      "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC",
      "WATCHDOG_PID", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY",
      "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY", "MEMORY_PRESSURE_WATCH",
      "MEMORY_PRESSURE_WRITE", "LOG_NAMESPACE",
      // other programs, as in an .env that several share
      "APP_URL", "APP_TOKEN", "APP_PORT", "API_KEY", "API_HOST", "API_PORT", "API_VERSION",
      "NPM_TOKEN", "PYPI_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "CI_JOB_TOKEN", "AUTH_TOKEN",
      "DATABASE_URL", "REDIS_URL", "BASE_URL", "READ_TIMEOUT", "CONNECT_TIMEOUT", "TIMEOUT",
      "REQUEST_TIMEOUT", "LOG_FILE", "LOG_DIR", "LOG_LABEL", "LOGGING", "CACHE_DIR", "CACHE_URL",
      "STORE_URL", "STORE_DIR", "POST", "SORT", "SPORT", "PART", "MIND", "FIND", "EDGE", "WEB_PORT",
      "WEB_CONCURRENCY", "MARKERS", "MEMORY_MAX", "CLIENT_ID", "CLIENT_SECRET", "PROXY_PATH",
      "NODE_ENV", "JAVA_HOME", "PYTHONPATH", "GOPATH", "CACHE_WARM_URL", "HOLDFAST_VERSION",
      // Kubernetes, whatever the services' names
      "KUBERNETES_PORT", "KUBERNETES_SERVICE_HOST", "KUBERNETES_PORT_443_TCP", "API_SERVICE_HOST",
      "API_PORT_80_TCP", "API_PORT_80_TCP_PORT", "STORE_PORT", "CACHE_PORT", "REDIS_PORT",
      "HOLDFAST_SERVICE_PORT", "HOLDFAST_SERVICE_PORT_HTTP", "HOLDFAST_PORT_3000_TCP",
      "HOLDFAST_PORT_3000_TCP_ADDR", "HOLDFAST_PORT_3000_TCP_PORT", "HOLDFAST_PORT_3000_TCP_PROTO"};
  for (const std::string& name : all) CHECK(said_of(name) == "");
  CHECK(said_of("") == "");
  CHECK(said_of("_") == "");
  CHECK(said_of("-_-_-") == "");
  CHECK(said_of(std::string(100000, 'A')) == "");
  // Nor of the one that is a setting with our name before it, where Kubernetes made it.
  CHECK(mistyped_variables({"HOLDFAST_PORT", "HOLDFAST_SERVICE_HOST"}).empty());
}

TEST_CASE("of the settings' own variables nothing is said") {
  std::vector<std::string> all = {kFileVariable};
  for (const Setting& setting : setting_table()) all.push_back(setting.environment_variable());
  CHECK(mistyped_variables(all).empty());
}

TEST_CASE("a mistyped variable is a warning of the start, and changes nothing") {
  Start start;
  start.variables = {{"API_TOKNE", kToken}, {"PORT", "4000"}, {"PATH", "/bin"}};
  const Settings settings = start.settings();
  CHECK(settings.port == 4000);
  CHECK(settings.api_token.empty());
  REQUIRE(settings.warnings.size() == 1);
  CHECK(warns(settings, "API_TOKNE"));
  CHECK(warns(settings, "did you mean API_TOKEN?"));
  CHECK(!warns(settings, kToken));
}
