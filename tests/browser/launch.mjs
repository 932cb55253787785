// A Chromium that asks nothing of anybody but the daemon.
import { chromium } from "playwright-core";

export const launch = (executablePath) => chromium.launch({
  executablePath, headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
