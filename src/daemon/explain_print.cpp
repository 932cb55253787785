// An Explanation as people and programs read it.
#include "daemon/explain.h"
#include "daemon/sheet.h"
#include "observe/json_writer.h"

namespace holdfast::daemon {
namespace {

void append_settings(Sheet& sheet, std::string_view label,
                     const std::vector<config::InForce>& settings) {
  // A longer one is cut: what it asks of answers is told above, and the file has the rest.
  constexpr std::size_t kWidest = 40;
  const auto shortened = [](std::string value) {
    if (value.size() > kWidest) value.replace(kWidest - 3, value.npos, "...");
    return value;
  };
  std::size_t key = 0;
  std::size_t value = 0;
  for (const config::InForce& setting : settings) {
    key = std::max(key, setting.key.size());
    value = std::max(value, std::min(setting.value.size(), kWidest));
  }
  for (const config::InForce& setting : settings) {
    sheet.row(label, padded(setting.key, key + 2) + padded(shortened(setting.value), value + 2) +
                         setting.source);
    label = {};
  }
}

void append_json(observe::JsonWriter& json, std::string_view name,
                 const std::vector<config::InForce>& settings) {
  json.key(name).open('[');
  for (const config::InForce& setting : settings) {
    json.open('{')
        .member("key", setting.key)
        .member("value", setting.value)
        .member("source", setting.source)
        .close('}');
  }
  json.close(']');
}

}  // namespace

std::string question_text(const Explanation& explanation) {
  Sheet sheet;
  sheet.row("request",
            explanation.method + " " + explanation.target +
                (explanation.host.empty() ? ", no Host given" : ", Host " + explanation.host));
  if (!explanation.taken()) {
    sheet.row("route", "none: " + std::to_string(explanation.status) + ", " + explanation.why +
                           (explanation.near.empty()
                                ? std::string()
                                : " (route " + explanation.near + " would take it otherwise)"));
    return sheet.take();
  }
  sheet.row("route", explanation.route + ", " + explanation.match +
                         (explanation.batch    ? ", a batch"
                          : explanation.passed ? ", passed through"
                                               : "") +
                         "  (" + explanation.place + ")");
  if (!explanation.next.empty()) {
    sheet.more("before " + explanation.next + ": " + explanation.why_not_next);
  }
  if (explanation.batch) {
    sheet.row("key", "one for each element; explain a path of the route for one of them");
  } else {
    sheet.row("key", explanation.key);
  }
  std::string urls = explanation.urls.front();
  for (std::size_t i = 1; i < explanation.urls.size(); ++i) urls += ", then " + explanation.urls[i];
  sheet.row("upstream", explanation.upstream + ", " + urls);
  if (explanation.offline) {
    sheet.row("asks", explanation.passed
                          ? "nobody, as the route is offline"
                          : "nobody, as the route is offline: what is stored answers, or 504");
  } else if (!explanation.batch) {
    sheet.row("asks", explanation.request_line);
    for (const upstream::Field& field : explanation.fields) {
      sheet.more(field.name + ": " + field.value);
    }
  }
  return sheet.take();
}

std::string explanation_text(const Explanation& explanation) {
  std::string text = question_text(explanation);
  if (!explanation.taken()) return text;
  Sheet sheet;
  std::string_view label = "accepts";
  for (const std::string& rule : explanation.asked_of_answer) {
    sheet.row(label, rule);
    label = {};
  }
  label = "decides";
  for (const proxy::Decided& one : explanation.decided) {
    sheet.row(label, std::string(one.word) + ": " + std::string(one.meaning));
    label = {};
  }
  append_settings(sheet, "of route", explanation.route_settings);
  append_settings(sheet, "of upstream", explanation.upstream_settings);
  return text + sheet.take();
}

std::string explanation_json(const Explanation& explanation) {
  std::string out;
  observe::JsonWriter json(out);
  json.key("request")
      .open('{')
      .member("method", explanation.method)
      .member("target", explanation.target)
      .member("host", explanation.host)
      .close('}');
  json.member("taken", explanation.taken());
  if (!explanation.taken()) {
    json.member("status", explanation.status).member("why", explanation.why);
    if (!explanation.near.empty()) json.member("near", explanation.near);
    return out;
  }
  json.member("route", explanation.route)
      .member("match", explanation.match)
      .member("place", explanation.place)
      .member("batch", explanation.batch)
      .member("passed", explanation.passed)
      .member("offline", explanation.offline);
  if (!explanation.next.empty()) {
    json.key("next")
        .open('{')
        .member("route", explanation.next)
        .member("why_not", explanation.why_not_next)
        .close('}');
  }
  if (!explanation.batch) json.member("key", explanation.key);
  json.member("upstream", explanation.upstream).key("urls").open('[');
  for (const std::string& url : explanation.urls) json.value(url);
  json.close(']');
  if (!explanation.batch && !explanation.offline) {
    json.member("request_line", explanation.request_line).key("fields").open('[');
    for (const upstream::Field& field : explanation.fields) {
      json.open('{').member("name", field.name).member("value", field.value).close('}');
    }
    json.close(']');
  }
  json.key("accepts").open('[');
  for (const std::string& rule : explanation.asked_of_answer) json.value(rule);
  json.close(']');
  json.key("decides").open('[');
  for (const proxy::Decided& one : explanation.decided) {
    json.open('{').member("word", one.word).member("meaning", one.meaning).close('}');
  }
  json.close(']');
  append_json(json, "route_settings", explanation.route_settings);
  append_json(json, "upstream_settings", explanation.upstream_settings);
  return out;
}

}  // namespace holdfast::daemon
