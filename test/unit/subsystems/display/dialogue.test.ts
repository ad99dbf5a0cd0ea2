import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { displayCommands } from '../../../../subsystems/display/commands/index.ts';
import type { Phase } from '../../../../subsystems/display/command.ts';
import { Dialogue, type DialogueEnd } from '../../../../subsystems/display/dialogue.ts';
import { FakeDesktops, fakeDesktop, someId } from '../../../support/fake-desktops.ts';

const greeting =
  'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: desk1 user: alice\nNX> 105 ';
const titles =
  'Display Type             Session ID                       Options  Depth Screen         Status      Session Name\n' +
  '------- ---------------- -------------------------------- -------- ----- -------------- ----------- ------------------------------\n';
const capacity = '\nNX> 148 Server capacity: not reached for user: alice\nNX> 105 ';
const failed = 'NX> 500 ERROR: Last operation failed.\nNX> 105 ';

interface Talk {
  readonly text: string;
  readonly writes: readonly string[];
  readonly end: DialogueEnd | undefined;
  readonly faults: readonly unknown[];
}

/** Feeds the pieces as a channel would: the next one only when the dialogue wants more. */
async function talk(
  desktops: FakeDesktops,
  pieces: readonly (string | Buffer | (() => Promise<void>))[],
  options: { readonly phase?: Phase; readonly isEof?: boolean } = {},
): Promise<Talk> {
  const writes: string[] = [];
  const faults: unknown[] = [];
  let end: DialogueEnd | undefined;
  let wake = (): void => {};
  const dialogue = new Dialogue(
    {
      desktops,
      hostName: 'desk1',
      defaultProtocol: 'rfb',
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
      fault: (error) => faults.push(error),
    },
    displayCommands,
    options.phase ?? 'ready',
  );
  dialogue.start();
  for (const piece of pieces) {
    if (typeof piece === 'function') {
      await piece();
      continue;
    }
    if ((end as DialogueEnd | undefined)?.is === 'tunnel') {
      break;
    }
    const ready = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (!dialogue.receive(Buffer.from(piece))) {
      await ready;
    }
  }
  if (options.isEof ?? false) {
    dialogue.endInput();
  }
  await new Promise((resolve) => setImmediate(resolve));
  return { text: writes.join(''), writes, end, faults };
}

describe('display dialogue', { timeout: 20_000 }, () => {
  test('a known user is greeted, welcomed and prompted in one write', async () => {
    const { writes } = await talk(new FakeDesktops(), []);
    assert.deepEqual(writes, [greeting]);
  });

  test('in front of a login there is only the greeting', async () => {
    const { text } = await talk(new FakeDesktops(), ['listsession --a="b"\n'], { phase: 'login' });
    assert.equal(
      text,
      'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 105 Listsession --a="b"\n' +
        "NX> 554 Error: the command 'listsession' cannot be called before to login\nNX> 105 ",
    );
  });

  const table: readonly (readonly [string, string, string])[] = [
    ['an empty line prompts again', '\n', '\nNX> 105 '],
    ['blanks too', ' \t \n', '\nNX> 105 '],
    ['a carriage return is no part of a line', '\r\n', '\nNX> 105 '],
    [
      'unknown',
      'frob --a="b"\n',
      'Frob --a="b"\nNX> 503 Error: undefined command: \'frob\'\nNX> 105 ',
    ],
    [
      'inherited names are unknown',
      'constructor\n',
      "Constructor\nNX> 503 Error: undefined command: 'constructor'\nNX> 105 ",
    ],
    [
      'hello',
      'hello NXCLIENT - Version 3.2.0\n',
      "Hello NXCLIENT - Version 3.2.0\nNX> 554 Error: the command 'hello' cannot be called after login\nNX> 105 ",
    ],
    [
      'set',
      'SET SHELL_MODE SHELL\n',
      "SET SHELL_MODE SHELL\nNX> 554 Error: the command 'SET' cannot be called after login\nNX> 105 ",
    ],
    [
      'login',
      'login\n',
      "Login\nNX> 554 Error: the command 'login' cannot be called after login\nNX> 105 ",
    ],
    [
      'an echo never passes for the server',
      'NX> 999 Bye.\n',
      "\nNX> 503 Error: undefined command: 'NX>'\nNX> 105 ",
    ],
    [
      'control characters are replaced',
      'a\u001b[2Jb\u0000\n',
      "A?[2Jb?\nNX> 503 Error: undefined command: 'a?[2Jb?'\nNX> 105 ",
    ],
    [
      'secrets are masked',
      'startsession --agent_password="hush" --cookie="00" --type="unix-kde"\n',
      `Startsession --agent_password="******" --cookie="******" --type="unix-kde"\nNX> 596 Error: Session type unix-kde is not supported.\n${failed}`,
    ],
    ['no parameters are asked for', 'startsession\n', 'Startsession\nNX> 106 Parameters: '],
    [
      'wrong syntax',
      'startsession --type=unix-desktop\n',
      'Startsession --type=unix-desktop\nNX> 597 Error: Parsing parameters: string "--type=unix-desktop" has invalid format\nNX> 105 ',
    ],
    [
      'an open quote',
      'startsession --type="unix\n',
      'Startsession --type="unix\nNX> 597 Error: Parsing parameters: string "--type="unix" has invalid format\nNX> 105 ',
    ],
    [
      'another protocol',
      'startsession --type="unix-desktop" --protocol="spice"\n',
      `Startsession --type="unix-desktop" --protocol="spice"\nNX> 596 Error: Protocol spice is not supported.\n${failed}`,
    ],
    [
      'an unknown id',
      `restoresession --id="${someId}"\n`,
      `Restoresession --id="${someId}"\nNX> 596 Error: Session ${someId} not found.\n${failed}`,
    ],
    [
      'an unknown id to suspend',
      'suspend --sessionid="AB"\n',
      `Suspend --sessionid="AB"\nNX> 596 Error: Session AB not found.\n${failed}`,
    ],
    [
      'shadowing',
      'attachsession --id="AB" --type="shadow"\n',
      `Attachsession --id="AB" --type="shadow"\nNX> 596 Could not find shadowed session AB. Session failed.\n${failed}`,
    ],
    [
      'shares and printers are no error',
      'addmount --a="b"\naddprinter --a="b"\n',
      'Addmount --a="b"\nNX> 105 Addprinter --a="b"\nNX> 105 ',
    ],
    [
      'an empty list has its header',
      'listsession --user="x"\n',
      `Listsession --user="x"\nNX> 127 Available sessions: \n\n${titles}${capacity}`,
    ],
  ];
  for (const [what, input, expected] of table) {
    test(`${what}: whole, byte by byte, and cut at each offset`, async () => {
      const whole = await talk(new FakeDesktops(), [input]);
      assert.equal(whole.text, greeting + expected);
      assert.deepEqual(whole.faults, []);
      const bytes = Buffer.from(input);
      const single = [...bytes].map((byte) => Buffer.from([byte]));
      assert.equal((await talk(new FakeDesktops(), single)).text, whole.text);
      for (let at = 1; at < bytes.length; at++) {
        const cut = await talk(new FakeDesktops(), [bytes.subarray(0, at), bytes.subarray(at)]);
        assert.deepEqual(cut.writes, whole.writes, `cut at ${at}`);
      }
    });
  }

  test('the list has exact columns, filters by status and hides what is ending', async () => {
    const desktops = new FakeDesktops();
    const other = 'A'.repeat(32);
    desktops.desktops = [
      fakeDesktop(),
      fakeDesktop({ id: other, state: 'running', display: 2001, name: 'x', depth: 16 }),
      fakeDesktop({ id: 'B'.repeat(32), state: 'ending' }),
    ];
    const suspended = `101     unix-desktop     ${someId} -RD--PSA    24 1280x800       Suspended   My work\n`;
    const running = `2001    unix-desktop     ${other} -RD--PSA    16 1280x800       Running     x\n`;
    const all = await talk(desktops, [
      'listsession --status="Suspended,Running" --type="unix-kde"\n',
    ]);
    assert.ok(all.text.endsWith(`${titles}${suspended}${running}${capacity}`), all.text);
    const one = await talk(desktops, ['LISTSESSION --status="disconnected"\n']);
    assert.ok(one.text.endsWith(`${titles}${suspended}${capacity}`), one.text);
    const shadow = await talk(desktops, ['listsession --type="shadow"\n']);
    assert.ok(shadow.text.endsWith(`${titles}${capacity}`));
    const row = /^\d+\s+[\w-]+\s+[0-9A-F]{32}\s+[A-Z-]{8}\s+\d+\s+\d+x\d+\s+\w+\s+\S.*$/;
    assert.match(suspended.trimEnd(), row);
  });

  test('the list shows desktops of the other engine as what cannot be resumed, and windows alone', async () => {
    const desktops = new FakeDesktops();
    const other = 'A'.repeat(32);
    desktops.desktops = [
      fakeDesktop(),
      fakeDesktop({ id: other, engine: 'nxagent', type: 'unix-application', rootless: true }),
    ];
    const rows = (first: string, second: string): string =>
      `${titles}101     unix-desktop     ${someId} -RD--PSA    24 1280x800       ${first.padEnd(11)} My work\n` +
      `101     unix-application ${other} -R---PSA    24 1280x800       ${second.padEnd(11)} My work\n${capacity}`;
    const table = [
      ['', 'Suspended', 'N/A'],
      [' --protocol="RFB"', 'Suspended', 'N/A'],
      [' --protocol="nx"', 'N/A', 'Suspended'],
      [' --protocol="constructor"', 'N/A', 'N/A'],
    ] as const;
    for (const [asked, first, second] of table) {
      const { text } = await talk(desktops, [`listsession --status="suspended"${asked}\n`]);
      assert.ok(text.endsWith(rows(first, second)), text);
    }
  });

  test('a list that is full says that no more may be started', async () => {
    const desktops = new FakeDesktops();
    desktops.desktops = Array.from({ length: 16 }, (_, index) => fakeDesktop({ display: index }));
    const { text } = await talk(desktops, ['listsession --a=""\n']);
    assert.match(text, /\nNX> 147 Server capacity: reached for user: alice\nNX> 105 $/);
  });

  const start =
    'startsession --type="unix-desktop" --session="My%20work" --geometry="1024x768" --protocol="rfb"\n';
  const block = (status: string): string =>
    `NX> 700 Session id: desk1-101-${someId}\nNX> 705 Session display: 101\n` +
    'NX> 703 Session type: unix-desktop\nNX> 728 Session caption: NX - alice@desk1:101 - My work\n' +
    `NX> 1009 Session status: ${status}\nNX> 710 Session status: running\nNX> 105 `;

  test('start, bye and the bytes glued behind it, cut at each offset', async () => {
    const rfb = Buffer.from('RFB 003.008\n\u0001bye\n', 'latin1');
    const input = Buffer.concat([Buffer.from(start), Buffer.from('bye\n'), rfb]);
    const echo = start.charAt(0).toUpperCase() + start.slice(1);
    for (let at = 0; at < input.length - rfb.length; at++) {
      const desktops = new FakeDesktops();
      const pieces = [input.subarray(0, at), input.subarray(at)].filter(({ length }) => length > 0);
      const { text, end } = await talk(desktops, pieces);
      assert.equal(text, `${greeting}${echo}${block('starting')}Bye\nNX> 999 Bye.\n`, `at ${at}`);
      assert.equal(end?.is, 'tunnel');
      assert.deepEqual(end?.is === 'tunnel' && end.unread, rfb, `cut at ${at}`);
      assert.equal(end?.is === 'tunnel' && end.viewer, desktops.viewers[0]);
      assert.equal(desktops.viewers[0]?.stream.destroyed, false);
      const [order] = desktops.orders;
      assert.deepEqual(order, {
        name: 'My work',
        protocol: 'rfb',
        type: 'unix-desktop',
        width: 1024,
        height: 768,
        depth: 0,
        parameters: new Map([
          ['type', 'unix-desktop'],
          ['session', 'My work'],
          ['geometry', '1024x768'],
          ['protocol', 'rfb'],
        ]),
      });
    }
  });

  test('each reply is one write', async () => {
    const desktops = new FakeDesktops();
    const { writes } = await talk(desktops, [`${start}listsession --a="b"\nfrob\nbye\n`]);
    assert.equal(writes.length, 5);
    assert.ok(writes.slice(0, -1).every((write) => write.endsWith('NX> 105 ')));
  });

  test('restore by id of either case, by the first generation’s name and by session name', async () => {
    for (const parameter of [
      `id="${someId.toLowerCase()}"`,
      `restore="${someId}"`,
      'session="My work"',
    ]) {
      const desktops = new FakeDesktops();
      desktops.desktops = [fakeDesktop()];
      const { text } = await talk(desktops, [`restoresession --${parameter} --type="unix-kde"\n`]);
      assert.ok(text.endsWith(block('resuming')), text);
      assert.deepEqual(desktops.asked.at(-1), `attach ${someId}`);
    }
  });

  test('the later of two duplicates wins', async () => {
    const desktops = new FakeDesktops();
    desktops.desktops = [fakeDesktop()];
    const { text } = await talk(desktops, [`restoresession --id="x" --id="${someId}"\n`]);
    assert.ok(text.includes('NX> 710 '));
  });

  test('suspend and terminate say what clients wait for', async () => {
    const desktops = new FakeDesktops();
    desktops.desktops = [fakeDesktop()];
    const suspended = await talk(desktops, [`suspend --sessionid="${someId}"\n`]);
    assert.ok(
      suspended.text.endsWith(
        `NX> 1000 NXNODE - Version 3.5.0-1 - OSS\nNX> 716 Suspending session ${someId} on user request.\nNX> 1001 Bye.\nNX> 105 `,
      ),
    );
    const ended = await talk(desktops, [`Terminate --sessionid="${someId}"\n`]);
    assert.ok(ended.text.endsWith(`\nNX> 900 Session id: ${someId} terminated.\nNX> 105 `));
    assert.deepEqual(desktops.asked, [
      `find ${someId}`,
      `suspend ${someId}`,
      `find ${someId}`,
      `terminate ${someId}`,
    ]);
  });

  test('parameters that were asked for may be separated by ampersands', async () => {
    const desktops = new FakeDesktops();
    const { text } = await talk(desktops, [
      'startsession\n',
      '--session="a"&--type="unix-default"&--geometry="640x480+1+2"\n',
    ]);
    assert.ok(text.includes('NX> 106 Parameters: --session="a"&--type'), text);
    assert.deepEqual(desktops.orders[0], {
      name: 'a',
      protocol: 'rfb',
      type: 'unix-default',
      width: 640,
      height: 480,
      depth: 0,
      parameters: new Map([
        ['session', 'a'],
        ['type', 'unix-default'],
        ['geometry', '640x480+1+2'],
      ]),
    });
    const listed = await talk(desktops, ['listsession\n\n']);
    assert.match(listed.text, /NX> 106 Parameters: \nNX> 127 /);
  });

  for (const [failure, lines] of [
    [
      'engine',
      'NX> 1004 Error: The desktop could not be started\n  NX> 710 forged\n  why\nNX> 596 Session startup failed.\n',
    ],
    ['nameTaken', 'NX> 596 Error: The desktop could not be started\n'],
    ['refused', 'NX> 596 Error: The desktop could not be started\n'],
    ['userLimit', 'NX> 599 Server capacity: reached for user: alice\n'],
    ['totalLimit', 'NX> 599 Reached the maximum number of concurrent sessions on this server.\n'],
  ] as const) {
    test(`a start that fails (${failure}) goes back to the prompt`, async () => {
      const desktops = new FakeDesktops();
      const text = 'The desktop could not be started';
      desktops.startFailure = { is: 'failed', failure, text, logTail: ['NX> 710 forged', 'why'] };
      const talked = await talk(desktops, [start, 'bye\n']);
      assert.ok(talked.text.includes(`\n${lines}${failed}Bye\n`), talked.text);
      assert.deepEqual(talked.end, { is: 'closed', status: 0 });
    });
  }

  for (const [input, echo, last] of [
    ['bye\n', 'Bye', 'NX> 999 Bye.\n'],
    ['BYE\n', 'BYE', 'NX> 999 Bye.\n'],
    ['quit\n', 'Quit', 'NX> 999 Bye\n'],
    ['exit\n', 'Exit', 'NX> 999 Bye\n'],
  ] as const) {
    test(`${input.trim()} without a session closes with status 0`, async () => {
      const { text, end } = await talk(new FakeDesktops(), [`${input}frob\n`]);
      assert.equal(text, `${greeting}${echo}\n${last}`);
      assert.deepEqual(end, { is: 'closed', status: 0 });
    });
  }

  test('quit with a session and the end of input end the viewer', async () => {
    for (const [pieces, isEof] of [
      [[start, 'quit\n'], false],
      [[start], true],
    ] as const) {
      const desktops = new FakeDesktops();
      const { end } = await talk(desktops, pieces, { isEof });
      assert.deepEqual(end, { is: 'closed', status: 0 });
      assert.equal(desktops.viewers[0]?.stream.destroyed, true);
    }
  });

  test('input that ends while a command runs is answered first', async () => {
    const desktops = new FakeDesktops();
    const { text, end } = await talk(desktops, ['terminate --sessionid="x"\n'], { isEof: true });
    assert.ok(text.includes('NX> 596 '));
    assert.deepEqual(end, { is: 'closed', status: 0 });
  });

  test('a second start ends the viewer of the first', async () => {
    const desktops = new FakeDesktops();
    const { end } = await talk(desktops, [`${start}${start}bye\n`]);
    assert.equal(desktops.viewers[0]?.stream.destroyed, true);
    assert.equal(end?.is === 'tunnel' && end.viewer, desktops.viewers[1]);
  });

  test('a desktop that ends before bye leaves nothing to go on with', async () => {
    const desktops = new FakeDesktops();
    const { attach } = desktops;
    const ended = Promise.withResolvers<void>();
    desktops.attach = async (id) => {
      const attached = await attach.call(desktops, id);
      // In the turn after the reply that says it runs, before the next line is read.
      setImmediate(() => {
        desktops.viewers[0]?.onEnd({ why: 'terminated', status: 1 });
        ended.resolve();
      });
      return attached;
    };
    const { text, end } = await talk(desktops, [start, () => ended.promise, 'bye\n']);
    assert.ok(text.includes('NX> 710 '));
    assert.deepEqual(end, { is: 'closed', status: 0 });
    assert.equal(desktops.viewers[0]?.stream.destroyed, true);
  });

  test('a line without an end, too many lines and too long a line end it with status 1', async () => {
    for (const pieces of [
      ['x'.repeat(8 * 1024 + 1)],
      [`${'x'.repeat(8 * 1024 + 1)}\n`],
      ['\n'.repeat(10_001)],
    ]) {
      const { text, end } = await talk(new FakeDesktops(), pieces);
      assert.match(text, /NX> 500 ERROR: [a-z ]+\.\nNX> 999 Bye\.\n$/);
      assert.deepEqual(end, { is: 'closed', status: 1 });
    }
  });

  test('a reader that does not read stops the dialogue until it does', async () => {
    const writes: string[] = [];
    let isOpen = false;
    let readied = 0;
    const dialogue = new Dialogue(
      {
        desktops: new FakeDesktops(),
        hostName: 'h',
        defaultProtocol: 'rfb',
        write: (bytes) => {
          writes.push(bytes.toString());
          return isOpen;
        },
        ready: () => {
          readied++;
        },
        ended: () => {},
        fault: assert.fail,
      },
      displayCommands,
      'ready',
    );
    dialogue.start();
    assert.equal(dialogue.receive(Buffer.from('frob\nfrob\n')), false);
    assert.equal(writes.length, 1);
    isOpen = true;
    dialogue.drained();
    assert.equal(writes.length, 3);
    assert.equal(readied, 1);
  });

  test('a fault is told to the process and ends the dialogue', async () => {
    const desktops = new FakeDesktops();
    desktops.list = () => Promise.reject(new Error('the link ended'));
    const { text, end, faults } = await talk(desktops, ['listsession --a=""\n']);
    assert.match(text, /NX> 595 ERROR: A fatal error occurred in NX Server\.\n$/);
    assert.deepEqual(end, { is: 'closed', status: 1 });
    assert.equal(faults.length, 1);
  });

  test('a channel that goes while a desktop starts leaves no viewer', async () => {
    const desktops = new FakeDesktops();
    let end: DialogueEnd | undefined;
    const dialogue = new Dialogue(
      {
        desktops,
        hostName: 'h',
        defaultProtocol: 'rfb',
        write: () => true,
        ready: () => {},
        ended: (how) => {
          end = how;
        },
        fault: assert.fail,
      },
      displayCommands,
      'ready',
    );
    dialogue.start();
    dialogue.receive(Buffer.from(start));
    dialogue.abandon();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(end?.is, 'closed');
    assert.equal(desktops.viewers[0]?.stream.destroyed, true);
  });
});
