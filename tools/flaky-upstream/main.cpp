#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/signal_watch.h"
#include "control.h"
#include "options.h"
#include "text.h"
#include "tls.h"

namespace {

using namespace holdfast;
using namespace holdfast::flaky;

// Thousands of connections need as many descriptors; the soft limit is often 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

int print_answer(const Options& options, const AnswerSource* database) {
  if (options.upstream.api) {
    Request request;
    request.method = "GET";
    request.target = options.print;
    const auto answer = options.upstream.api->answer(request, options.upstream.edition);
    if (!answer || answer->message.status != 200) {
      std::cerr << "flaky-upstream: no data for " << options.print << "\n";
      return 1;
    }
    std::cout << answer->message.content << "\n";
    return 0;
  }
  const auto address = parse_address(options.print);
  if (!address) {
    std::cerr << "flaky-upstream: --print: \"" << options.print << "\" is not an IP address\n";
    return 2;
  }
  const auto content = database != nullptr ? database->content(*address)
                                           : geo_answer(*address, options.upstream.edition);
  if (!content) {
    std::cerr << "flaky-upstream: no data for " << address->text << "\n";
    return 1;
  }
  std::cout << *content << "\n";
  return 0;
}

// The CA's certificate, for clients to believe in: a file that was asked for, or one
// that goes with us. Throws.
class CaFile {
 public:
  CaFile(const std::string& pem, const std::string& wanted) : path_(wanted) {
    if (path_.empty()) {
      path_ = (std::filesystem::temp_directory_path() / "flaky-upstream-ca-XXXXXX").string();
      const base::UniqueFd fd(::mkstemp(path_.data()));
      if (!fd) throw std::runtime_error("cannot make " + path_);
      temporary_ = true;
    }
    std::ofstream file(path_);
    file << pem << std::flush;
    if (!file) throw std::runtime_error("cannot write " + path_);
  }
  ~CaFile() {
    std::error_code ignored;
    if (temporary_) std::filesystem::remove(path_, ignored);
  }
  CaFile(const CaFile&) = delete;
  CaFile& operator=(const CaFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool temporary_ = false;
};

// Throws.
std::unique_ptr<Tls> make_tls(const Options& options) {
  auto tls = options.tls_certificate.empty()
                 ? Tls::make(options.tls_names)
                 : Tls::from_files(options.tls_certificate, options.tls_key);
  if (!tls) throw std::runtime_error("--tls: " + tls.error().message);
  return std::move(*tls);
}

int run(Options options) {
  std::unique_ptr<AnswerSource> database;
  if (!options.mmdb.empty()) {
    auto opened = open_mmdb(options.mmdb);
    if (!opened) {
      std::cerr << "flaky-upstream: --mmdb: " << opened.error().message << "\n";
      return 2;
    }
    database = std::move(*opened);
  }
  if (!options.print.empty()) return print_answer(options, database.get());

  std::unique_ptr<Tls> tls;
  std::unique_ptr<CaFile> ca;
  if (options.tls) tls = make_tls(options);
  if (tls && !tls->ca_pem().empty()) {
    ca = std::make_unique<CaFile>(tls->ca_pem(), options.tls_ca);
  }
  raise_descriptor_limit();
  const base::SystemClock clock;
  base::EventLoop loop("flaky-upstream", clock);
  base::SignalWatch signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  const auto& addresses = options.bind_addresses;
  Upstream upstream(loop, {addresses, options.port, tls.get(), options.handshake_delay},
                    std::move(options.upstream), std::move(database));
  Control control(loop, addresses.front(), options.control_port, upstream);
  upstream.set_mode(options.mode);
  std::string more;
  if (ca) {
    more = ",\"ca\":";
    append_json_string(more, ca->path());
  }
  std::printf("{\"port\":%u,\"control_port\":%u%s}\n", upstream.port(), control.port(),
              more.c_str());
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = 0;
  auto options = parse_options(argc, argv, exit_code);
  if (!options) return exit_code;
  try {
    return run(std::move(*options));
  } catch (const std::exception& error) {
    std::cerr << "flaky-upstream: " << error.what() << "\n";
    return 2;
  }
}
