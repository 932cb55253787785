// A CheckedAnswer as people and programs read it.
#include <chrono>

#include "daemon/check.h"
#include "daemon/sheet.h"
#include "observe/json_writer.h"

namespace holdfast::daemon {
namespace {

using upstream::Outcome;
using upstream::Phase;

double milliseconds(base::Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::string in_words(base::Duration duration) {
  std::string text = std::to_string(milliseconds(duration));
  return text.substr(0, text.find('.') + 2) + " ms";
}

// "connect 0.3 ms, tls 12.1 ms, answer 4.0 ms": as far as it came.
std::string phases_of(const upstream::Reply& reply) {
  std::string text;
  for (const Phase phase : {Phase::Connect, Phase::Tls, Phase::Answer}) {
    if (reply.took(phase) == base::Duration::zero()) continue;
    text += (text.empty() ? "" : ", ") + std::string(to_string(phase)) + " " +
            in_words(reply.took(phase));
  }
  return text;
}

std::string came(const CheckedAnswer& checked) {
  const upstream::Reply& reply = checked.reply;
  std::string text = reply.status == 0 ? "nothing" : "status " + std::to_string(reply.status);
  if (reply.status != 0 && reply.transport == Outcome::Ok) {
    text += ", " + std::to_string(reply.body.size()) + " bytes of content";
  }
  if (!checked.address.empty()) text += ", from " + checked.address;
  text += ", in " + in_words(reply.duration);
  const std::string phases = phases_of(reply);
  return phases.empty() ? text : text + " (" + phases + ")";
}

std::string said_of(const CheckedAnswer& checked) {
  if (checked.right) return "right";
  const upstream::Verdict& verdict = checked.verdict;
  return "not right" +
         (verdict.outcome == Outcome::Ok ? std::string()
                                         : ", " + std::string(to_string(verdict.outcome))) +
         (verdict.reason.empty() ? "" : ": " + verdict.reason);
}

}  // namespace

std::string checked_text(const CheckedAnswer& checked) {
  std::string text = question_text(checked.explanation);
  Sheet sheet;
  if (!checked.not_asked.empty()) {
    return text + sheet.row("verdict", "nobody was asked: " + checked.not_asked).take();
  }
  for (const std::string& address : checked.unreachable) sheet.row("in vain", address);
  sheet.row("came", came(checked));
  for (const upstream::Field& field : checked.reply.fields) {
    sheet.more(field.name + ": " + field.value);
  }
  sheet.row("verdict", said_of(checked));
  if (!checked.meaning.empty()) sheet.more(checked.meaning);
  return text + sheet.take();
}

std::string checked_json(const CheckedAnswer& checked) {
  std::string out = "{" + explanation_json(checked.explanation) + ",";
  std::string more;
  observe::JsonWriter json(more);
  json.member("asked", checked.not_asked.empty());
  if (!checked.not_asked.empty()) {
    json.member("not_asked", checked.not_asked);
  } else {
    const upstream::Reply& reply = checked.reply;
    json.key("unreachable").open('[');
    for (const std::string& address : checked.unreachable) json.value(address);
    json.close(']').key("answer").open('{').member("address", checked.address);
    json.member("status", reply.status).key("fields").open('[');
    for (const upstream::Field& field : reply.fields) {
      json.open('{').member("name", field.name).member("value", field.value).close('}');
    }
    json.close(']').member("content_bytes", reply.body.size());
    json.member("milliseconds", milliseconds(reply.duration)).key("phases").open('{');
    for (const Phase phase : {Phase::Connect, Phase::Tls, Phase::Answer}) {
      json.member(to_string(phase), milliseconds(reply.took(phase)));
    }
    json.close('}').close('}');
    json.member("outcome", to_string(checked.verdict.outcome))
        .member("reason", checked.verdict.reason)
        .member("meaning", checked.meaning);
  }
  json.member("right", checked.right);
  return out + more + "}\n";
}

}  // namespace holdfast::daemon
