/**
 * How the page of `connect --web` says that there is nothing to see any more: a desktop that ends,
 * refuses or speaks nonsense behind Debian's sshd, a client that is killed. Runs in: test, as root.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { Browser, browserIsMissing } from '../support/browser.ts';
import { Child, eventually } from '../support/child.ts';
import { DebianSshd } from '../support/debian-sshd.ts';
import { XServer } from '../support/x-server.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const bridge = join(import.meta.dirname, '../support/rfb-bridge.ts');
const skip = process.getuid?.() === 0 ? browserIsMissing : 'needs root';
const patienceMs = 25_000;

describe('the page without a desktop', { skip, timeout: 120_000 }, () => {
  let sshd: DebianSshd;
  let folder: string;
  let browser: Browser;
  let script: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-web-'));
    script = join(folder, 'rfb.sh');
    sshd = await DebianSshd.start({ subsystems: { rfb: `sh ${script}` } });
    browser = await Browser.start({ width: 400, height: 300 });
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await sshd?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  /** `lines`: what the server runs for a desktop. */
  async function open(lines: string): Promise<{ client: Child; page: Page }> {
    writeFileSync(script, `${lines}\n`);
    const client = new Child(process.execPath, [
      ...[cli, 'connect', '-F', 'none', '-i', sshd.userKey, '--batch', '--web', '--no-open'],
      ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'StrictHostKeyChecking=no'],
      `root@127.0.0.1:${sshd.port}`,
    ]);
    const address = await eventually(
      'the address',
      () => {
        assert.equal(client.hasExited, false, client.stderr);
        return /^(http:\S+)\n/.exec(client.stdout)?.[1];
      },
      patienceMs,
    );
    const page = await browser.newPage();
    await page.goto(address);
    return { client, page };
  }

  const says = (page: Page, text: RegExp) =>
    eventually(
      String(text),
      async () => text.test(await page.locator('#status').innerText()),
      patienceMs,
    );
  const lookAt = (desktop: XServer) => `${process.execPath} ${bridge} ${desktop.rfbSocket}`;

  test('a desktop that ends: the page says so, and the client ends with 1', async () => {
    const desktop = await XServer.startXvnc({ geometry: '320x200' });
    const { client, page } = await open(`${lookAt(desktop)}; exit 1`);
    await says(page, /^root@127\.0\.0\.1$/);
    await desktop[Symbol.asyncDispose]();
    await says(page, /^The desktop has ended\.$/);
    const { code, stderr } = await client.finished;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /The desktop has ended\./);
    assert.equal(await page.locator('#buttons').isVisible(), false);
  });

  test('a client that is killed leaves a page that says so', async () => {
    await using desktop = await XServer.startXvnc({ geometry: '320x200' });
    const { client, page } = await open(lookAt(desktop));
    await says(page, /^root@127\.0\.0\.1$/);
    client.process.kill('SIGKILL');
    await says(page, /^sshdesk has ended on this computer\./);
    await client.finished;
  });

  test('a client that is ended at the terminal says so in the page', async () => {
    await using desktop = await XServer.startXvnc({ geometry: '320x200' });
    const { client, page } = await open(lookAt(desktop));
    await says(page, /^root@127\.0\.0\.1$/);
    client.process.kill('SIGINT');
    await says(page, /^sshdesk was ended in its terminal\.$/);
    assert.equal((await client.finished).code, 130);
  });

  test('what is no RFB, and a refusal with markup in it, are sentences', async () => {
    const nonsense = await open("printf 'HELLO 003.008'; cat >/dev/null");
    await says(nonsense.page, /^The desktop has sent something that this page cannot show\.$/);
    await nonsense.client.stop('SIGINT');
    const reason = '<img src=x onerror=alert(1)>';
    const types = `\\000\\000\\000\\000\\0${reason.length.toString(8)}`;
    const greeting = "printf 'RFB 003.008\\n'; head -c 12 >/dev/null";
    const refusal = `${greeting}; printf '${types}${reason}'; cat >/dev/null`;
    const refused = await open(refusal);
    await says(refused.page, /^The desktop refuses: <img src=x onerror=alert\(1\)>$/);
    assert.equal(await refused.page.locator('header img').count(), 0);
    await refused.client.stop('SIGINT');
  });
});
