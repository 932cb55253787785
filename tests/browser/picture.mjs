// Takes the README's picture of the status page: five minutes of traffic during which
// the upstream first fails now and then, then half of the time, then is gone, then is
// back. Nothing is staged but the upstream. Run by run.sh --picture. Arguments:
// chromium, daemon's URL, upstream's control URL, the file, a folder for the same at
// other widths and in the dark.
import process from "node:process";
import { launch } from "./launch.mjs";

const [browserPath, daemon, control, file, shots] = process.argv.slice(2);
const kPerSecond = 60;
const kPhases = [  // until which second, what the upstream does
  [110, "faults", "mixed=0.05"],
  [195, "faults", "mixed=0.5"],
  [235, "mode", "down"],
  [296, "mode", "up"],
];

const tell = (knob, body) => fetch(`${control}/${knob}`, { method: "PUT", body });
const address = (i) => `20.${Math.floor(i / 62500) % 250}.${Math.floor(i / 250) % 250}.${i % 250}`;
let fresh = 1000;
// Most ask for what many ask for, some for what nobody asked for yet.
const next = () => Math.random() < 0.15 ? address(fresh++) : address(Math.floor(400 * Math.random() ** 3));
const ask = () => fetch(`${daemon}/lookup/${next()}`).then((r) => r.text()).catch(() => "");

const browser = await launch(browserPath);
try {
  const began = Date.now(), traffic = setInterval(ask, 1000 / kPerSecond);
  for (const [until, knob, body] of kPhases) {
    if (!(await tell(knob, body)).ok) throw new Error(`the upstream does not take ${knob} ${body}`);
    if (body === "up") await tell("faults", "mixed=0.05");
    console.log(`until ${until} s: ${knob} ${body}`);
    await new Promise((wake) => setTimeout(wake, until * 1000 - (Date.now() - began)));
  }
  const look = async (width, colorScheme) => {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    const page = await context.newPage();
    await page.goto(daemon + "/status");
    await page.locator("#areas svg").waitFor();
    return page;
  };
  const page = await look(1120, "light");
  // What follows the failures is for whoever looks for it.
  const end = await page.locator("#failures-table").boundingBox();
  await page.screenshot({ path: file, fullPage: true, clip: { x: 0, y: 0, width: 1120, height: end.y + end.height + 24 } });
  for (const [width, scheme] of shots ? [[390, "light"], [390, "dark"], [1200, "dark"]] : []) {
    await (await look(width, scheme)).screenshot({ path: `${shots}/${width}-${scheme}.png`, fullPage: true });
  }
  clearInterval(traffic);
} finally {
  await browser.close();
}
