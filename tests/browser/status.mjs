// Drives the status page in headless Chromium: it loads under its policy with no
// console error, shows traffic as it flows, the breaker opening in an outage, and
// that it is out of date when the daemon is gone. Run by run.sh, which starts the
// daemon and the upstream. Arguments: chromium, daemon's URL and pid, upstream's
// control URL, folder for screenshots.
import process from "node:process";
import { launch } from "./launch.mjs";

const [browserPath, daemon, daemonPid, control, shots] = process.argv.slice(2);
const kPatience = 60_000;
let failed = 0;

function check(name, holds, detail = "") {
  console.log(`${holds ? "ok" : "FAILED"}: ${name}${holds || !detail ? "" : ": " + detail}`);
  failed += holds ? 0 : 1;
}
const lookUp = (from, count) => Promise.all(Array.from({ length: count }, (_, i) =>
  fetch(`${daemon}/lookup/8.8.${Math.floor((from + i) / 250)}.${(from + i) % 250}`).then((r) => r.text())));
const tell = (knob, body) => fetch(`${control}/${knob}`, { method: "PUT", body });

const browser = await launch(browserPath);
// A page and all that it complains about; requests to anywhere but the daemon count too.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (m) => { if (["error", "warning"].includes(m.type())) complaints.push(m.text()); });
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("request", (r) => { if (!r.url().startsWith(daemon) && !r.url().startsWith("data:")) complaints.push("asked " + r.url()); });
  await page.goto(daemon + "/status");
  return { page, complaints };
}
const text = (page, id) => page.locator("#" + id).innerText();
// The tile of that name, as a number.
const tile = (page, name) => page.evaluate((wanted) => {
  const found = [...document.querySelectorAll("#tiles > div")].find((d) => d.querySelector("dt").textContent === wanted);
  return found ? found.innerText : "";
}, name);
// Not waitForFunction(): it evaluates a string in the page, which the policy forbids.
async function until(page, condition, argument) {
  for (const end = Date.now() + kPatience; !await page.evaluate(condition, argument);) {
    if (Date.now() > end) throw new Error("never came true: " + condition);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

try {
  await lookUp(0, 200);
  const { page, complaints } = await open({ viewport: { width: 1200, height: 900 } });
  const policy = (await page.request.get(daemon + "/status")).headers()["content-security-policy"];
  check("the page has a policy that starts from nothing", policy.startsWith("default-src 'none'"), policy);
  check("the pictures are shown, the plain tables are not",
    await page.locator("#live").isVisible() && await page.locator("#plain").count() === 0);
  check("it says that clients get their answers", (await text(page, "headline")).includes("Clients get their answers."), await text(page, "headline"));
  check("every lookup was a 200", (await tile(page, "200s, last minute")).includes("100 %"), await tile(page, "200s, last minute"));
  check("no console error while it loads", complaints.length === 0, complaints.join(" | "));
  // An injected script must not run: the policy holds.
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    try { script.append("window.ran = true"); document.head.append(script); } catch { /* trusted types */ }
    return window.ran === true;
  });
  check("a script that is not the page's own does not run", !ran);
  complaints.length = 0;  // of which the browser has complained

  check("the title says the state first", (await page.title()).startsWith("OK – "), await page.title());

  // ---- It updates while traffic flows ----
  await page.evaluate(() => { document.querySelector("#settings tr").marked = true; });
  const before = await page.locator("#areas svg path").first().getAttribute("d");
  await lookUp(200, 300);
  await until(page, () => document.querySelector("#tiles").innerText.includes("500 requests"));
  check("it updates by itself while traffic flows", true);
  await until(page, (d) => document.querySelector("#areas svg path").getAttribute("d") !== d, before);
  check("the area chart moves on", true);
  check("what has not changed is not replaced, so that it can be marked and copied",
    await page.evaluate(() => document.querySelector("#settings tr").marked === true));

  // ---- An outage ----
  await tell("mode", "down");
  await lookUp(1000, 8);
  await until(page, () => /breaker (open|half-open)/.test(document.querySelector("#origins").innerText));
  check("the breaker is seen to open", true);
  await until(page, () => document.querySelector("#origins").innerText.includes("opened:"));
  check("its history says why", /opened: connect/.test(await text(page, "origins")), await text(page, "origins"));
  check("the strip shows the outage", await page.locator("#strip-0 .open").count() > 0);
  await until(page, () => document.querySelector("#failures").innerText.includes("connect"));
  check("the failures stand with their cause", true);
  check("the title says it, too", (await page.title()).startsWith("Degraded – "), await page.title());
  check("how long the breaker has been open does not start anew with each probe",
    await page.evaluate(() => fetch("/status.json").then((r) => r.json()).then(({ upstream: { origins: [o] } }) =>
      Math.abs(Date.parse(o.breaker_since) - Date.parse(o.breaker_history.at(-1).at)) < 100)));
  check("the state is words and a sign, not only a colour",
    (await text(page, "state")) === "Degraded" && (await page.locator("#sign").getAttribute("d")).length > 0, await text(page, "state"));
  if (shots) await page.screenshot({ path: `${shots}/outage.png`, fullPage: true });

  await tell("mode", "up");
  await until(page, () => /closed/.test(document.querySelector(".changes").innerText));
  check("the breaker is seen to close", true);
  await lookUp(0, 300);
  check("no console error and no request elsewhere", complaints.length === 0, complaints.join(" | "));

  // ---- Every width and colour scheme ----
  for (const [name, width, scheme] of [["phone", 390, "light"], ["phone-dark", 390, "dark"],
    ["desktop", 1200, "light"], ["desktop-dark", 1200, "dark"], ["small-phone", 320, "light"]]) {
    const view = await open({ viewport: { width, height: 844 }, colorScheme: scheme, deviceScaleFactor: width < 500 ? 2 : 1 });
    await until(view.page, () => document.querySelector("#areas svg"));
    const wide = await view.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    check(`${name}: nothing sticks out of the page`, wide <= 0, `${wide} px`);
    const low = await view.page.evaluate(contrasts);
    check(`${name}: all text has a contrast of 4.5 to 1`, low.length === 0, low.slice(0, 5).join("; "));
    check(`${name}: no console error`, view.complaints.length === 0, view.complaints.join(" | "));
    if (shots) await view.page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
    await view.page.context().close();
  }

  // ---- Without JavaScript ----
  const plain = await open({ viewport: { width: 390, height: 844 }, javaScriptEnabled: false });
  const body = await plain.page.locator("body").innerText();
  check("without JavaScript the tables are there", ["Requests", "Upstream", "Breaker history", "Latest failures", "Settings in force"]
    .every((t) => body.includes(t)) && await plain.page.locator("#plain table").count() >= 6);
  check("without JavaScript it renews itself", (await plain.page.content()).includes('http-equiv="refresh"'));
  if (shots) await plain.page.screenshot({ path: `${shots}/plain.png`, fullPage: true });

  // ---- What it is told is not what it knows ----
  const version = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).version);
  const told = async (body) => {
    const view = await open({ viewport: { width: 1200, height: 900 } });
    await view.page.route("**/status.json", (route) => route.fulfill({ json: body }));
    return view;
  };
  const puzzled = await told({ version });
  await puzzled.page.locator("#outdated").waitFor({ state: "visible", timeout: kPatience });
  check("data that it cannot draw are not taken for news", (await puzzled.page.title()).startsWith("Unknown – "), await puzzled.page.title());
  check("and it complains", puzzled.complaints.length > 0);
  const upgraded = await told({ version: version + "-next" });
  await upgraded.page.waitForEvent("load", { timeout: kPatience });
  check("the data of another release make it load itself anew", upgraded.complaints.length === 0, upgraded.complaints.join(" | "));
  for (const view of [puzzled, upgraded]) await view.page.context().close();

  // ---- The daemon goes away ----
  process.kill(Number(daemonPid), "SIGTERM");
  await page.locator("#outdated").waitFor({ state: "visible", timeout: kPatience });
  const warning = await text(page, "outdated"), age = await text(page, "updated");
  check("it says that it is out of date", warning.startsWith("Out of date"), warning);
  check("its title says so, too", (await page.title()).startsWith("Unknown – "), await page.title());
  await until(page, (before) => document.querySelector("#updated").innerText !== before, age);
  check("the warning is said once, while its age goes on", await text(page, "outdated") === warning, await text(page, "outdated"));
  const faint = await page.evaluate(contrasts);
  check("what is out of date can still be read", faint.length === 0, faint.slice(0, 5).join("; "));
  if (shots) await page.screenshot({ path: `${shots}/out-of-date.png` });
} catch (error) {
  check("all steps", false, error.stack);
} finally {
  await browser.close();
}
console.log(failed ? `${failed} FAILED` : "all passed");
process.exitCode = failed ? 1 : 0;

// Runs in the page: visible text whose contrast with what is behind it is low.
function contrasts() {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const data = rgb(getComputedStyle(n).backgroundColor);
      if (data[3] === 255) return data;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.querySelector("#live"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const host = node.parentElement;
    if (!node.textContent.trim() || !host.getClientRects().length) continue;
    const style = getComputedStyle(host);
    const color = rgb(host instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(color), light(behind(host))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) low.push(`${contrast.toFixed(2)} "${node.textContent.trim().slice(0, 30)}"`);
  }
  return low;
}
