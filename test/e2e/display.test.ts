/**
 * The NX-style dialogue by the stock `ssh -s HOST display` with scripted input: every byte of its
 * transcripts. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import {
  desktopsDirectory,
  finishRfb,
  type ListedDesktop,
  listDesktops,
  openSubsystem,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import type { TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 110_000);
const greeting =
  'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: host user: alice\nNX> 105 ';
const titles =
  'Display Type             Session ID                       Options  Depth Screen         Status      Session Name\n' +
  '------- ---------------- -------------------------------- -------- ----- -------------- ----------- ------------------------------\n';
const capacity = '\nNX> 148 Server capacity: not reached for user: alice\nNX> 105 ';
const list = (rows: string): string =>
  `NX> 127 Available sessions: \n\n${titles}${rows}${capacity}`;
const lastFailed = 'NX> 500 ERROR: Last operation failed.\nNX> 105 ';
const bye = 'Bye\nNX> 999 Bye.\n';

describe('the dialogue', lab, () => {
  let server: TestServer;
  let key: TestKey;
  const asAlice = () => ({ user: 'alice', key });

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    server = await startDesktopServer();
  });
  after(async () => await server?.stop());

  /** All of the input in one write, then EOF. */
  function talk(input: string, user = 'alice'): Promise<ClientOutcome> {
    return ssh(server, { user, key, args: ['-s'], input }, 'display');
  }

  async function transcript(input: string, expected: string): Promise<void> {
    const outcome = await talk(input);
    assert.equal(outcome.text, greeting + expected);
    assert.equal(outcome.stderr, '');
    assert.equal(outcome.status, 0);
  }

  function named(name: string): ListedDesktop {
    const found = listDesktops().find((desktop) => desktop.name === name);
    assert.ok(found !== undefined, `no desktop ${name}`);
    return found;
  }

  function opened({ id, display, name }: ListedDesktop, how: 'starting' | 'resuming'): string {
    return (
      `NX> 700 Session id: host-${display}-${id}\n` +
      `NX> 705 Session display: ${display}\n` +
      'NX> 703 Session type: unix-desktop\n' +
      `NX> 728 Session caption: NX - alice@host:${display} - ${name}\n` +
      `NX> 1009 Session status: ${how}\n` +
      'NX> 710 Session status: running\nNX> 105 '
    );
  }

  test('listsession without a desktop, and quit', async () => {
    await transcript(
      'listsession --status="suspended,running"\nquit\n',
      ['Listsession --status="suspended,running"\n', list(''), 'Quit\nNX> 999 Bye\n'].join(''),
    );
  });

  test('listsession without parameters asks for them', async () => {
    await transcript(
      'listsession\n--type="unix-desktop"\nexit\n',
      [
        'Listsession\nNX> 106 Parameters: --type="unix-desktop"\n',
        list(''),
        'Exit\nNX> 999 Bye\n',
      ].join(''),
    );
  });

  test('bye without a desktop ends with status 0, and so does the end of input', async () => {
    await transcript('bye\n', bye);
    await transcript('', '');
    // An empty line is answered with a prompt; CR LF is a line end too.
    await transcript('\nBYE\r\n', `\nNX> 105 BYE\nNX> 999 Bye.\n`);
  });

  test('what is no command or no parameter is refused, and the dialogue goes on', async () => {
    await transcript(
      'frobnicate --x="y"\nstartsession session=plain\nlogin\nNX> 105 quit\nbye\n',
      [
        'Frobnicate --x="y"\n',
        "NX> 503 Error: undefined command: 'frobnicate'\nNX> 105 ",
        'Startsession session=plain\n',
        'NX> 597 Error: Parsing parameters: string "session=plain" has invalid format\nNX> 105 ',
        "Login\nNX> 554 Error: the command 'login' cannot be called after login\nNX> 105 ",
        "\nNX> 503 Error: undefined command: 'NX>'\nNX> 105 ",
        bye,
      ].join(''),
    );
  });

  test('other types and protocols: 596, 500, 105, and no desktop', async () => {
    await transcript(
      [
        'startsession --type="unix-kde" --session="x" --protocol="rfb"\n',
        'startsession --type="unix-desktop" --session="x" --protocol="spice"\n',
        'startsession --type="unix-desktop" --session="x" --protocol="__proto__"\n',
        'bye\n',
      ].join(''),
      [
        'Startsession --type="unix-kde" --session="x" --protocol="rfb"\n',
        `NX> 596 Error: Session type unix-kde is not supported.\n${lastFailed}`,
        'Startsession --type="unix-desktop" --session="x" --protocol="spice"\n',
        `NX> 596 Error: Protocol spice is not supported.\n${lastFailed}`,
        'Startsession --type="unix-desktop" --session="x" --protocol="__proto__"\n',
        `NX> 596 Error: Protocol __proto__ is not supported.\n${lastFailed}`,
        bye,
      ].join(''),
    );
    assert.deepEqual(listDesktops(), []);
    assert.deepEqual(readdirSync(desktopsDirectory), []);
  });

  test('startsession, the same name again, listsession, suspend, restoresession, terminate', async () => {
    const start =
      'startsession --type="unix-desktop" --session="Work%20one" --geometry="1024x768" --protocol="rfb"\n';
    const first = await talk(`${start}${start}quit\n`);
    const desktop = named('Work one');
    assert.equal(desktop.geometry, '1024x768');
    const echo = `S${start.slice(1)}`;
    assert.equal(
      first.text,
      [
        greeting,
        echo,
        opened(desktop, 'starting'),
        echo,
        'NX> 596 Error: A desktop named Work one is already there.\n',
        lastFailed,
        'Quit\nNX> 999 Bye\n',
      ].join(''),
    );
    assert.equal(first.status, 0);
    await eventually('detached', async () => named('Work one').state === 'detached');
    const { id, display } = desktop;
    const row = (status: string) =>
      `${String(display).padEnd(7)} unix-desktop     ${id} -RD--PSA    24 1024x768       ${status} Work one\n`;
    assert.match(
      row('Suspended  '),
      /^\d+\s+[\w-]+\s+[0-9A-F]{32}\s+[A-Z-]{8}\s+\d+\s+\d+x\d+\s+\w+\s+\S.*\n$/,
    );
    await transcript(
      [
        'listsession --user="bob" --status="Suspended" --type="unix-kde"\n',
        'listsession --status="running"\n',
        `restoresession --id="${id.toLowerCase()}"\n`,
        'listsession --status="running"\n',
        `suspend --sessionid="${id}"\n`,
        'listsession --status="running,suspended"\n',
        `Terminate --sessionid="${id}"\n`,
        `restoresession --id="${id}"\n`,
        'listsession --status="running,suspended"\n',
        'bye\n',
      ].join(''),
      [
        'Listsession --user="bob" --status="Suspended" --type="unix-kde"\n',
        list(row('Suspended  ')),
        'Listsession --status="running"\n',
        list(''),
        `Restoresession --id="${id.toLowerCase()}"\n`,
        opened(desktop, 'resuming'),
        'Listsession --status="running"\n',
        list(row('Running    ')),
        `Suspend --sessionid="${id}"\n`,
        'NX> 1000 NXNODE - Version 3.5.0-1 - OSS\n',
        `NX> 716 Suspending session ${id} on user request.\nNX> 1001 Bye.\nNX> 105 `,
        'Listsession --status="running,suspended"\n',
        list(row('Suspended  ')),
        `Terminate --sessionid="${id}"\nNX> 900 Session id: ${id} terminated.\nNX> 105 `,
        `Restoresession --id="${id}"\nNX> 596 Error: Session ${id} not found.\n${lastFailed}`,
        'Listsession --status="running,suspended"\n',
        list(''),
        bye,
      ].join(''),
    );
    assert.deepEqual(listDesktops(), []);
    assert.deepEqual(readdirSync(desktopsDirectory), []);
  });

  test('a desktop of somebody else is not found, by id or by name', async () => {
    await talk('startsession --type="unix-desktop" --session="his"\nquit\n', 'bob');
    const { id } = named('his');
    await transcript(
      `restoresession --id="${id}"\nsuspend --sessionid="his"\nterminate --sessionid="${id}"\nlistsession --status=""\nbye\n`,
      [
        `Restoresession --id="${id}"\nNX> 596 Error: Session ${id} not found.\n${lastFailed}`,
        `Suspend --sessionid="his"\nNX> 596 Error: Session his not found.\n${lastFailed}`,
        `Terminate --sessionid="${id}"\nNX> 596 Error: Session ${id} not found.\n${lastFailed}`,
        'Listsession --status=""\n',
        list(''),
        bye,
      ].join(''),
    );
    const ended = await talk(`terminate --sessionid="${id}"\nbye\n`, 'bob');
    assert.match(ended.text, new RegExp(`NX> 900 Session id: ${id} terminated\\.\nNX> 105 `));
  });

  test('secrets are masked in the echo, control characters never come back', async () => {
    await transcript(
      'frob --password="geheim" --cookie="0123"\nx\u001b]0;y\u0007\u0085z\nbye\n',
      [
        'Frob --password="******" --cookie="******"\n',
        "NX> 503 Error: undefined command: 'frob'\nNX> 105 ",
        "X?]0;y??z\nNX> 503 Error: undefined command: 'x?]0;y??z'\nNX> 105 ",
        bye,
      ].join(''),
    );
  });

  test('bytes behind bye are RFB, glued to it and cut anywhere; the end is status 0', async () => {
    const session = openSubsystem(server, 'display', asAlice());
    const { child, incoming } = session;
    const input =
      'startsession --type="unix-default" --session="cut" --geometry="640x480" --protocol="rfb"\nbye\nRFB 003.008\n';
    for (const byte of Buffer.from(input)) {
      child.stdin.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const text = await incoming.takeTo('NX> 999 Bye.\n');
    assert.equal(
      text,
      `${greeting}Startsession --type="unix-default" --session="cut" --geometry="640x480" --protocol="rfb"\n${opened(named('cut'), 'starting').replace('type: unix-desktop', 'type: unix-default')}${bye}`,
    );
    assert.equal((await incoming.take(12)).toString(), 'RFB 003.008\n');
    assert.deepEqual(await finishRfb(session, ''), { width: 640, height: 480 });
    assert.equal(named('cut').viewers, 1);
    child.stdin.end();
    assert.equal(await session.status, 0);
    assert.equal(session.stderr(), '');
    await eventually('detached', async () => named('cut').state === 'detached');
    await talk('terminate --session="cut"\nbye\n');
    assert.deepEqual(listDesktops(), []);
  });

  test('lines without end and input without end are bounded', async () => {
    const long = await talk('x'.repeat(100_000));
    assert.equal(long.status, 1);
    assert.match(long.text, /NX> 500 ERROR: the line is too long\.\nNX> 999 Bye\.\n$/);
    const many = await talk('\n'.repeat(20_000));
    assert.equal(many.status, 1);
    assert.match(many.text, /NX> 500 ERROR: too much input\.\nNX> 999 Bye\.\n$/);
  });
});
