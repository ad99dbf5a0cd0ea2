/**
 * A headless Chromium with a profile of its own, and all that it asked the network for. The
 * stock browser of Debian, driven with playwright-core. Runs in: test.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { missingClient } from './missing-client.ts';
import { Picture } from './viewer.ts';

const executablePath = '/usr/bin/chromium';

/** A reason to skip, or false. */
export const browserIsMissing: string | false = existsSync(executablePath)
  ? false
  : `${missingClient}${executablePath}, Debian package chromium (./setup --test)`;

const quiet = [
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  // In the lab a test is root, for whom Chromium has no sandbox.
  '--no-sandbox',
];

export interface BrowserOptions {
  readonly width?: number;
  readonly height?: number;
}

export class Browser implements AsyncDisposable {
  readonly context: BrowserContext;
  /** Addresses of all requests and WebSockets, in order. */
  readonly requests: string[] = [];
  /** Errors in the consoles, such as breaches of a policy, and scripts that failed. */
  readonly complaints: string[] = [];
  readonly #folder: string;

  private constructor(context: BrowserContext, folder: string) {
    this.context = context;
    this.#folder = folder;
    context.on('request', (request) => this.requests.push(request.url()));
    context.on('page', (page) => this.#watch(page));
    context.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
    for (const page of context.pages()) this.#watch(page);
  }

  static async start({ width = 1000, height = 700 }: BrowserOptions = {}): Promise<Browser> {
    const folder = await mkdtemp('/tmp/chromium-');
    const context = await chromium.launchPersistentContext(path.join(folder, 'profile'), {
      executablePath,
      headless: true,
      args: quiet,
      viewport: { width, height },
    });
    context.setDefaultTimeout(20_000);
    return new Browser(context, folder);
  }

  #watch(page: Page): void {
    page.on('websocket', (socket) => this.requests.push(socket.url()));
    page.on('pageerror', (error) => this.complaints.push(error.message));
  }

  newPage(): Promise<Page> {
    return this.context.newPage();
  }

  /** What a page shows of the desktop, 1 pixel for 1 pixel. */
  async pictureOf(page: Page): Promise<Picture> {
    const file = path.join(this.#folder, 'canvas.png');
    // As it is drawn, and not as it is laid out: a dialog or bar over it would be in a screenshot.
    const address = await page
      .locator('#desktop canvas')
      .evaluate((canvas) => (canvas as unknown as { toDataURL(): string }).toDataURL());
    await writeFile(file, Buffer.from(address.slice(address.indexOf(',') + 1), 'base64'));
    return Picture.read(file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
