// Trust is whom TLS connections believe and what we show of ourselves; TrustStore reads
// it from files on a thread of its own, and again when they change. Debian's bundle of
// authorities takes 40 ms to parse: too long for a loop, and for each connection.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace holdfast::upstream {

// Immutable, once made. Any thread.
class Trust {
 public:
  struct Parts;

  explicit Trust(std::unique_ptr<Parts> parts);
  explicit Trust(std::string problem);
  ~Trust();
  Trust(const Trust&) = delete;
  Trust& operator=(const Trust&) = delete;

  // Why no connection can be checked with it, for logs. Empty: it can.
  const std::string& problem() const { return problem_; }

  // Equips an SSL_CTX of a client: authorities, our certificate, tickets of sessions, and
  // no log of keys, whatever the environment says. False if OpenSSL refuses.
  bool apply(void* ssl_ctx) const;

 private:
  std::unique_ptr<Parts> parts_;
  std::string problem_;
};

// What is wrong with a certificate, from OpenSSL's verify result. Empty where that is
// not what went wrong.
std::string certificate_problem(long verify_result);

// Whether the two ends of an SSL have agreed on HTTP/2.
bool speaks_http2(void* ssl);

class TrustStore {
 public:
  struct Settings {
    std::string ca_file;           // PEM
    std::string ca_dir;            // PEM files; empty: none
    std::string client_cert_file;  // PEM, with its chain; empty: none is shown
    std::string client_key_file;   // PEM; empty: in client_cert_file
    // How often the files are looked at.
    std::chrono::milliseconds check_interval{5000};
  };
  // On the store's own thread.
  using Changed = std::function<void(std::shared_ptr<const Trust>)>;

  // Reads at once, on the thread. `changed` hears of the first result, good or bad; then
  // of each good one: where files cannot be read any more the last good one holds.
  TrustStore(Settings settings, Changed changed);
  // Waits for a read that is under way.
  ~TrustStore();
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;

  // Any thread. Nothing is looked at any more; whether a read that was under way has ended, so
  // that the end of this waits for nothing.
  bool wind_down();

  // Reads the files on the caller's thread: what is wrong with them, for people; empty if
  // nothing is.
  static std::string problem_of(const Settings& settings);

  // Any thread. Why the files as they are now are not used; empty: they are.
  std::string problem() const;

 private:
  void run();
  void look();

  const Settings settings_;
  const Changed changed_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  bool ended_ = false;     // guarded by mutex_
  std::string problem_;    // guarded by mutex_
  std::thread thread_;
};

}  // namespace holdfast::upstream
