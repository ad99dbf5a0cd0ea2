/** What a client's words become in nxagent's option string, its log, its sessions. Runs in: test. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineOrder } from '../../../../../src/broker/engine.ts';
import { nxagent } from '../../../../../subsystems/display/engines/nxagent/nxagent.ts';
import {
  isRootless,
  optionsOf,
  readParameters,
} from '../../../../../subsystems/display/engines/nxagent/parameters.ts';
import {
  nxTypes,
  sessionOf,
} from '../../../../../subsystems/display/engines/nxagent/session-types.ts';
import { Mutator } from '../../../../support/mutator.ts';

const given = (words: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  new Map(Object.entries(words));

function order(words: Readonly<Record<string, string>>, type = 'unix-desktop'): EngineOrder {
  const read = readParameters(given(words), type);
  assert.ok(read.is === 'taken', JSON.stringify(read));
  return {
    id: 'F'.repeat(32),
    type,
    display: 101,
    userDirectory: '/run/d/user',
    xauthorityPath: '/run/d/user/Xauthority',
    width: 800,
    height: 600,
    depth: 24,
    parameters: read.parameters,
  };
}

function optionsText(of: EngineOrder): string {
  const files = nxagent.single?.files(of, 'ab'.repeat(16), Buffer.alloc(16, 1)) ?? [];
  return files.find(({ name }) => name === 'options')?.content.toString() ?? '';
}

describe('parameters of nxagent', () => {
  test('what clients send becomes options, in the words of the program', () => {
    const words = {
      link: 'ADSL',
      cache: '8m',
      images: '32M',
      imagecompressionmethod: '1',
      imagecompressionlevel: '6',
      backingstore: 'when_requested',
      keyboard: 'pc105/de',
      clipboard: 'both',
      strict: '0',
      screeninfo: '1280x1024x24+render',
    };
    assert.equal(
      optionsText(order(words)),
      'nx/nx,link=adsl,pack=16m-jpeg-6,cache=8M,images=32M,keyboard=pc105/de,backingstore=1,nodelay=1,' +
        `clipboard=both,type=desktop,menu=0,geometry=800x600,cookie=${'ab'.repeat(16)},id=${'F'.repeat(32)},` +
        'state=/run/d/user/nx/state,listen=unix:/run/d/user/nx/proxy.sock:101\n',
    );
  });

  test('no port is opened, whatever is asked for', () => {
    const words = { listen: '4000', accept: '0.0.0.0', media: '1', cups: '631', samba: '1' };
    const text = optionsText(order({ ...words, aux: '1', http: '1', kbd: '1', keybd: '1' }));
    assert.doesNotMatch(text, /4000|accept|media|cups|samba|aux|http|key?bd=/);
    assert.equal(text.match(/listen=/g)?.length, 1);
  });

  test('a value that is not allowed is refused by name; nonsense that clients send is passed over', () => {
    for (const [name, value] of [
      ['link', 'lan,listen=4000'],
      ['link', 'lan\nnx'],
      ['clipboard', 'both:1'],
      ['render', '2'],
      ['defer', '1 '],
      ['composite', ''],
    ] as const) {
      assert.deepEqual(readParameters(given({ [name]: value }), 'unix-desktop'), {
        is: 'refused',
        why: `Parameter ${name} has a value that is not allowed.`,
      });
    }
    for (const name of ['geometry', 'keyboard', 'cache', 'images', 'client']) {
      const { parameters } = order({ [name]: 'a,b=c:d' });
      assert.equal(parameters.has(name), false, name);
    }
    assert.equal(order({ constructor: '1', __proto__x: '1' }).parameters.size, 0);
  });

  test('hostile words: the string has one form, and no option of their making', () => {
    const random = new Mutator();
    const pick = <T>(of: readonly T[]): T => of[random.below(of.length)] as T;
    const pieces = [
      ...[',', '=', ':', '\n', '\r', '\0', '%2C', '%3D', '/', '..', ' ', '"', "'", '\\', '$(id)'],
      ...[
        'lan',
        'adsl',
        '1',
        '0',
        '800x600',
        '+1',
        'both',
        '16M',
        'pc105/us',
        'é',
        'listen',
        'nx/nx',
      ],
    ];
    const names = [
      ...['link', 'cache', 'images', 'imagecompressionmethod', 'imagecompressionlevel', 'keyboard'],
      ...['geometry', 'fullscreen', 'resize', 'clipboard', 'client', 'rootless', 'virtualdesktop'],
      ...['render', 'backingstore', 'composite', 'shmem', 'shpix', 'streaming', 'nodelay', 'defer'],
      ...[
        'cookie',
        'id',
        'state',
        'listen',
        'type',
        'options',
        'shadow',
        'application',
        'x,listen',
      ],
    ];
    let taken = 0;
    for (let round = 0; round < 20_000; round++) {
      const words = new Map<string, string>();
      for (let count = random.below(5); count >= 0; count--) {
        const value = Array.from({ length: 1 + random.below(3) }, () => pick(pieces)).join('');
        words.set(pick(names), value);
      }
      const read = readParameters(words, pick(nxTypes));
      if (read.is === 'refused') {
        continue;
      }
      const { name: seed } = random;
      taken++;
      for (const option of optionsOf(read.parameters)) {
        assert.match(option, /^[a-z]+=[A-Za-z0-9_/+-]+$/, seed);
        assert.doesNotMatch(
          option,
          /^(?:listen|cookie|id|state|type|options|shadow|accept)=/,
          seed,
        );
      }
      const text = optionsText({ ...order({}), parameters: read.parameters });
      assert.match(text, /^nx\/nx,[^\n:]*listen=unix:\/run\/d\/user\/nx\/proxy\.sock:101\n$/);
      assert.equal(text.match(/(?:listen|cookie|state)=/g)?.length, 3);
    }
    assert.ok(taken > 1000, `${taken}`);
  });

  test('a resume has its own line and keyboard, and stays what it was', () => {
    const before = given({ application: 'xterm', rootless: '1', link: 'lan' });
    const read = readParameters(
      given({ link: 'modem', rootless: '0', virtualdesktop: '1', application: 'xcalc' }),
      'unix-application',
      before,
    );
    assert.ok(read.is === 'taken');
    assert.deepEqual(
      [...read.parameters],
      [
        ['application', 'xterm'],
        ['rootless', '1'],
        ['link', 'modem'],
      ],
    );
  });

  test('an application is one line of up to 2 KiB, and never an option', () => {
    const of = order({ application: 'xterm -e "a,b=c:d"' }, 'unix-application');
    assert.doesNotMatch(optionsText(of), /xterm/);
    for (const bad of ['', '  ', 'a\nb', 'a\0b', 'x'.repeat(2049)]) {
      const read = readParameters(given({ application: bad }), 'unix-application');
      assert.deepEqual(read, { is: 'refused', why: 'This application cannot be started.' });
    }
    assert.deepEqual(readParameters(given({}), 'unix-application'), {
      is: 'refused',
      why: 'Session type unix-application needs an application.',
    });
  });

  test('a folder whose name would end an option is refused', () => {
    for (const bad of ['/run/a,b', '/run/a=b', '/run/a:b', '/run/a b', '/run/a\nb']) {
      assert.throws(
        () => nxagent.environment({ ...order({}), userDirectory: bad }),
        /of this name/,
      );
    }
  });
});

describe('sessions of nxagent', () => {
  test('windows alone are for an application or a terminal outside a desktop', () => {
    const table = [
      ['unix-application', {}, true],
      ['unix-application', { virtualdesktop: '1' }, false],
      ['unix-application', { virtualdesktop: '1', rootless: '1' }, true],
      ['unix-console', {}, true],
      ['unix-console', { rootless: '0' }, false],
      ['unix-desktop', { rootless: '1' }, false],
      ['unix-kde', { rootless: '1' }, false],
    ] as const;
    for (const [type, words, expected] of table) {
      assert.equal(isRootless(type, given(words)), expected, `${type} ${JSON.stringify(words)}`);
      const command = nxagent.command({ ...order({}), type, parameters: given(words) });
      assert.equal(command.includes(expected ? '-R' : '-D'), true);
    }
  });

  test('each type runs what it is called, the first program that is there, or says what is missing', () => {
    const runs = (type: string, there: readonly string[], rootless = false) =>
      sessionOf(type, given({ application: 'xcalc' }), rootless, 'usual', (file) =>
        there.includes(file),
      );
    assert.deepEqual(runs('unix-desktop', []), { command: 'usual' });
    assert.deepEqual(runs('unix-default', []), { command: 'usual' });
    assert.deepEqual(runs('unix-kde', ['/usr/bin/startkde']), {
      command: 'exec /usr/bin/startkde',
    });
    assert.deepEqual(runs('unix-gnome', ['/usr/bin/gnome-session']), {
      command: 'exec /usr/bin/gnome-session',
    });
    assert.deepEqual(runs('unix-kde', []), {
      why: 'Session type unix-kde needs /usr/bin/startplasma-x11 or /usr/bin/startkde, which is not installed.',
    });
    assert.deepEqual(runs('unix-xfce', []), {
      why: 'Session type unix-xfce needs /usr/bin/startxfce4, which is not installed.',
    });
    const xterm = '/usr/bin/xterm';
    const windowManager = '/usr/bin/x-window-manager';
    assert.deepEqual(runs('unix-console', [xterm], true), { command: `exec ${xterm}` });
    assert.deepEqual(runs('unix-console', [xterm, windowManager]), {
      command: `${windowManager} & exec ${xterm}`,
    });
    assert.deepEqual(runs('unix-application', [windowManager], true), { command: 'xcalc' });
    assert.deepEqual(runs('unix-application', [windowManager]), {
      command: `${windowManager} & xcalc`,
    });
  });
});

describe('the log of nxagent', () => {
  const stateOf = (...lines: readonly string[]) =>
    nxagent.single?.stateOf(lines.map((line) => `${line}\n`).join(''));
  const waiting = "Info: Waiting for connection from this host on socket 'unix:/x'.";
  const suspended = "Session: Session suspended at 'Sat Nov 21 21:02:15 2026'.";

  test('the last line that tells of a change counts', () => {
    const table = [
      [['NXAGENT - Version 3.5.99.26'], undefined],
      [["Session: Starting session at 'x'.", waiting], 'waiting'],
      [[waiting, 'Info: Accepted connection from this host on Unix file socket'], 'changing'],
      [["Session: Session started at 'x'.", 'Info: Screen [0] resized'], 'running'],
      [["Session: Session resumed at 'x'."], 'running'],
      [["Session: Suspending session at 'x'."], 'changing'],
      [["Session: Display failure detected at 'x'."], 'changing'],
      [["Session: Suspending session at 'x'.", suspended], 'suspended'],
      [[suspended, "Session: Resuming session at 'x'."], 'changing'],
      [[suspended, "Session: Resuming session at 'x'.", waiting], 'waiting'],
    ] as const;
    for (const [lines, expected] of table) {
      assert.equal(stateOf(...lines), expected, lines.join(' | '));
    }
  });

  test('a line that only contains such words, or is not whole, says nothing', () => {
    assert.equal(stateOf(suspended, ` ${waiting}`, `xterm: ${waiting}`), 'suspended');
    assert.equal(nxagent.single?.stateOf(`${suspended}\nSession: Resum`), 'suspended');
  });
});
