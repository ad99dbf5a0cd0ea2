/**
 * The dialogue in front of a login: transcripts of clients, whole, byte by byte, cut at every offset;
 * what is refused, and what bounds it. Runs in: test.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { displayCommands } from '../../../../subsystems/display/commands/index.ts';
import { Dialogue, type DialogueEnd } from '../../../../subsystems/display/dialogue.ts';
import { FakeDesktops, fakeDesktop, someId } from '../../../support/fake-desktops.ts';

const greeting = 'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 105 ';
const stars = '**********\n';
const titles =
  'Display Type             Session ID                       Options  Depth Screen         Status      Session Name\n' +
  '------- ---------------- -------------------------------- -------- ----- -------------- ----------- ------------------------------\n';

interface Outcome {
  readonly text: string;
  readonly end: DialogueEnd | undefined;
  readonly logins: readonly string[];
  readonly secrets: readonly Buffer[];
}

/** Feeds the pieces as a channel would: the next one only when the dialogue wants more. */
async function talk(
  pieces: readonly (string | Buffer)[],
  { isKnown = true, isEof = false, desktops = new FakeDesktops() } = {},
): Promise<Outcome> {
  const writes: string[] = [];
  const logins: string[] = [];
  const secrets: Buffer[] = [];
  let end: DialogueEnd | undefined;
  let wake = (): void => {};
  let isIn = false;
  const dialogue = new Dialogue(
    {
      get desktops() {
        assert.ok(isIn, 'nothing of desktops in front of the login');
        return desktops;
      },
      hostName: 'testhost',
      defaultProtocol: 'rfb',
      async login(user, password) {
        logins.push(`${user} ${password}`);
        secrets.push(password);
        await new Promise((resolve) => setImmediate(resolve));
        password.fill(0);
        isIn = isKnown;
        return isKnown;
      },
      write(bytes) {
        assert.equal(end, undefined, 'nothing is written behind the end');
        writes.push(bytes.toString());
        return true;
      },
      ready: () => wake(),
      ended(how) {
        assert.equal(end, undefined, 'it ends once');
        end = how;
        wake();
      },
      fault: (error) => {
        throw error;
      },
    },
    displayCommands,
    'login',
  );
  dialogue.start();
  for (const piece of pieces) {
    if (end !== undefined) {
      break;
    }
    const ready = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (!dialogue.receive(Buffer.from(piece as string))) {
      await ready;
    }
  }
  if (isEof) {
    dialogue.endInput();
  }
  do {
    await new Promise((resolve) => setImmediate(resolve));
  } while (isEof && end === undefined);
  return { text: writes.join(''), end, logins, secrets };
}

const list = 'listsession --user="alice" --status="suspended,running" --type="unix-kde"';
const start =
  'startsession  --link="lan" --encryption="1" --session="mysess" --type="unix-desktop" --geometry="800x600"';
const listed = (rows: string): string =>
  `NX> 127 Available sessions: \n\n${titles}${rows}\nNX> 148 Server capacity: not reached for user: alice\nNX> 105 `;
const begun = (how: string, name: string): string =>
  [
    `NX> 700 Session id: testhost-101-${someId}\nNX> 705 Session display: 101\n`,
    'NX> 703 Session type: unix-desktop\n',
    `NX> 728 Session caption: NX - alice@testhost:101 - ${name}\n`,
    `NX> 1009 Session status: ${how}\nNX> 710 Session status: running\nNX> 105 `,
  ].join('');
const hello = 'Hello NXCLIENT - Version 3.2.0\nNX> 134 Accepted protocol: 3.2.0\nNX> 105 ';
const entry = `${greeting}${hello}Set shell_mode: shell\nNX> 105 Set auth_mode: password\nNX> 105 Login\nNX> 101 User: alice\nNX> 102 Password: ${stars}`;
const welcome = 'NX> 103 Welcome to: testhost user: alice\nNX> 105 ';
const login =
  'hello NXCLIENT - Version 3.2.0\nSET SHELL_MODE SHELL\nSET AUTH_MODE PASSWORD\nlogin\nalice\nsecret%41\n';

interface Transcript {
  readonly name: string;
  readonly client: string;
  readonly server: string;
  readonly isKnown?: boolean;
  readonly desktop?: boolean;
  readonly tunnel?: boolean;
}

const transcripts: readonly Transcript[] = [
  {
    name: 'first start, encrypted',
    client: `${login}${list}\n${start}\nbye\n`,
    server: [
      `${entry}${welcome}L${list.slice(1)}\n${listed('')}`,
      `S${start.slice(1)}\n${begun('starting', 'mysess')}Bye\nNX> 999 Bye.\n`,
    ].join(''),
    tunnel: true,
  },
  {
    name: 'resume of the one of this name',
    client: `${login}${list}\nrestoresession --session="x" --encryption="1" --session="My%20work" --id="${someId}"\nbye\n`,
    server: [
      `${entry}${welcome}L${list.slice(1)}\n`,
      listed(
        `101     unix-desktop     ${someId} -RD--PSA    24 1280x800       Suspended   My work\n`,
      ),
      `Restoresession --session="x" --encryption="1" --session="My%20work" --id="${someId}"\n`,
      `${begun('resuming', 'My work')}Bye\nNX> 999 Bye.\n`,
    ].join(''),
    desktop: true,
    tunnel: true,
  },
  {
    name: 'a wrong password',
    client: `${login}${list}\n`,
    server: `${entry}NX> 404 ERROR: wrong password or login\nNX> 999 Bye\n`,
    isKnown: false,
  },
  {
    name: 'suspend, terminate, quit',
    client: `${login}suspend --sessionid="${someId}"\nTerminate --sessionid="${someId}"\nquit\n`,
    server: [
      `${entry}${welcome}Suspend --sessionid="${someId}"\n`,
      `NX> 1000 NXNODE - Version 3.5.0-1 - OSS\nNX> 716 Suspending session ${someId} on user request.\nNX> 1001 Bye.\nNX> 105 `,
      `Terminate --sessionid="${someId}"\nNX> 900 Session id: ${someId} terminated.\nNX> 105 `,
      'Quit\nNX> 999 Bye\n',
    ].join(''),
    desktop: true,
  },
];

function desktopsFor({ desktop }: Transcript): FakeDesktops {
  const desktops = new FakeDesktops();
  desktops.desktops = desktop === true ? [fakeDesktop()] : [];
  return desktops;
}

async function replay(transcript: Transcript, pieces: readonly string[]): Promise<void> {
  const { client, server, isKnown, tunnel } = transcript;
  const options = { isKnown: isKnown ?? true, desktops: desktopsFor(transcript) };
  const { text, end, logins, secrets } = await talk(pieces, options);
  assert.equal(text, server, JSON.stringify(pieces));
  assert.equal(end?.is, tunnel === true ? 'tunnel' : 'closed');
  assert.deepEqual(logins, ['alice secret%41'], client);
  assert.ok(
    secrets.every((secret) => secret.every((byte) => byte === 0)),
    'it is erased',
  );
}

describe('a login in the dialogue', { timeout: 60_000 }, () => {
  for (const transcript of transcripts) {
    const { name, client } = transcript;
    test(`${name}: in one write`, () => replay(transcript, [client]));
    test(`${name}: line by line`, () => replay(transcript, client.split(/(?<=\n)/)));
    test(`${name}: byte by byte`, () => replay(transcript, [...client]));
    test(`${name}: cut at every offset`, async () => {
      for (let at = 1; at < client.length; at++) {
        await replay(transcript, [client.slice(0, at), client.slice(at)]);
      }
    });
    test(`${name}: cut off at every offset, then the end of input`, async () => {
      for (let at = 0; at < client.length - 1; at++) {
        const options = { isEof: true, isKnown: transcript.isKnown ?? true };
        const outcome = await talk([client.slice(0, at)], {
          ...options,
          desktops: desktopsFor(transcript),
        });
        assert.equal(outcome.end?.is, 'closed', String(at));
        assert.ok(transcript.server.startsWith(outcome.text), `${at}: ${outcome.text}`);
      }
    });
  }

  const wrongVersion =
    'NX> 500 Protocol you requested is not supported, please upgrade your client to latest version\nNX> 999 Bye.\n';
  for (const version of ['1.4.0', '1.5.0', '2.1.0', '3.5.0-7', '3.99.9999']) {
    test(`version ${version} is taken`, async () => {
      const { text, end } = await talk([`HELLO nxclient - version ${version}\r\n`]);
      const shown = version.split('-')[0];
      assert.equal(
        text,
        `${greeting}HELLO nxclient - version ${version}\nNX> 134 Accepted protocol: ${shown}\nNX> 105 `,
      );
      assert.equal(end, undefined);
    });
  }
  for (const rest of ['1.3.2', '0.9.0', '4.0.0', '9999.0.0', '3.5', '3.5.0.1', 'x', '']) {
    test(`version "${rest}" is not`, async () => {
      const { text, end } = await talk([`hello NXCLIENT - Version ${rest}\nlogin\n`]);
      assert.ok(text.endsWith(wrongVersion), text);
      assert.equal(end?.is, 'closed');
    });
  }

  const table: readonly (readonly [string, string, string])[] = [
    ['set alone', 'SET\n', "SET\nNX> 500 ERROR: missing parameter 'variable'\nNX> 105 "],
    ['another variable', 'SET x y\n', "SET x y\nNX> 500 ERROR: unknown variable 'x'\nNX> 105 "],
    [
      'no value',
      'set auth_mode\n',
      "Set auth_mode\nNX> 500 ERROR: missing parameter 'value'\nNX> 105 ",
    ],
    [
      'MD5',
      'SET AUTH_MODE MD5\n',
      "SET AUTH_MODE MD5\nNX> 500 ERROR: unknown auth mode 'MD5'\nNX> 105 ",
    ],
    [
      'another shell',
      'SET SHELL_MODE sh\n',
      "SET SHELL_MODE sh\nNX> 500 ERROR: unknown shell mode 'sh'\nNX> 105 ",
    ],
    ['an empty line', '\n', '\nNX> 105 '],
    [
      'a command of later',
      'startsession --type="x"\n',
      'Startsession --type="x"\nNX> 554 Error: the command \'startsession\' cannot be called before to login\nNX> 105 ',
    ],
    ['an unknown one', 'frob\n', "Frob\nNX> 503 Error: undefined command: 'frob'\nNX> 105 "],
    ['quit', 'QUIT\n', 'QUIT\nNX> 999 Bye\n'],
    ['bye', 'bye\n', 'Bye\nNX> 999 Bye.\n'],
    [
      'no name',
      'login\n\n',
      'Login\nNX> 101 User: \nNX> 500 ERROR: Username is not in the expected format.\nNX> 999 Bye\n',
    ],
    [
      'a name that looks like a line of the server',
      'LOGIN\nNX> 103 Welcome\nx\n',
      `LOGIN\nNX> 101 User: \nNX> 102 Password: ${stars}NX> 404 ERROR: wrong password or login\nNX> 999 Bye\n`,
    ],
    [
      'a guest',
      'login\nNX guest user\nx\n',
      `Login\nNX> 101 User: NX guest user\nNX> 102 Password: ${stars}NX> 404 ERROR: wrong password or login\nNX> 999 Bye\n`,
    ],
    [
      'a digest is to follow',
      'login\nalice\n\n0123456789abcdef0123456789abcdef\n',
      `Login\nNX> 101 User: alice\nNX> 102 Password: ${stars}NX> 500 Password cannot be in MD5 when not using the NX password DB.\nNX> 500 Please update your NX Client\nNX> 999 Bye\n`,
    ],
  ];
  for (const [name, input, expected] of table) {
    test(name, async () => {
      const { text } = await talk([input], { isKnown: false });
      assert.equal(text, greeting + expected);
    });
  }

  test('behind the login its commands are wrong, and the limits are those of a known user', async () => {
    const { text, end } = await talk([login, 'login\n', '\n'.repeat(100), `${'x'.repeat(2000)}\n`]);
    assert.match(text, /Login\nNX> 554 Error: the command 'login' cannot be called after login\n/);
    assert.equal(end, undefined);
  });

  for (const encryption of [
    'startsession --type="unix-desktop"',
    `restoresession --id="${someId}"`,
  ]) {
    test(`${encryption.split(' ')[0]} past the channel is refused`, async () => {
      const desktops = new FakeDesktops();
      const { text } = await talk([login, `${encryption} --encryption="0"\n`], { desktops });
      assert.ok(
        text.endsWith(
          'NX> 596 Unencrypted sessions are not allowed on this server.\nNX> 500 ERROR: Last operation failed.\nNX> 105 ',
        ),
      );
      assert.deepEqual([desktops.orders, desktops.asked], [[], []]);
    });
  }

  const bounds: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['a line without an end', ['x'.repeat(1025)], /500 ERROR: the line is too long\.\nNX> 999/],
    ['a long line', [`${'x'.repeat(1025)}\n`], /500 ERROR: the line is too long\.\nNX> 999/],
    ['a long name', ['login\n', `${'x'.repeat(1025)}\n`], /500 ERROR: the line is too long/],
    ['lines without end', ['\n'.repeat(65)], /500 ERROR: too much input\.\nNX> 999/],
    ['bytes without end', Array(20).fill(`${'x'.repeat(1000)}\n`), /500 ERROR: too much input/],
  ];
  for (const [name, pieces, expected] of bounds) {
    test(`${name}: the end`, async () => {
      const { text, end } = await talk(pieces);
      assert.match(text, expected);
      assert.deepEqual(end, { is: 'closed', status: 1 });
    });
  }
});
