/**
 * Incidents of other servers behind the login: windows and packet sizes, environments, PAM stages,
 * forwarding that a restriction forgot. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chownSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { before, describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { assertEnded, incidentScene, numbersOf, trace } from '../../support/incident.ts';
import {
  authorize,
  buildPamLab,
  findUser,
  inLab,
  run,
  writePamService,
} from '../../support/lab.ts';
import {
  Fields,
  makeRawKey,
  no,
  payload,
  type RawKey,
  RawSsh,
  str,
  u32,
  yes,
} from '../../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../../support/server.ts';
import { password } from '../../support/userauth.ts';

const lab = inLab(import.meta.url, 240_000);
const largest = 0xffff_ffff;
const linkerObject = '/tmp/incident-preload.so';

describe('behind the login', lab, () => {
  before(() => void buildPamLab()); // a file that is there before the scene is looked at
  const { incident } = incidentScene({
    config: ['AcceptEnv *', 'PermitUserEnvironment no'],
    removals: [
      {
        file: 'src/ssh/connection/window.ts',
        check: 'if (this.#left + bytes > largestWindowBytes) {',
        instead: 'if (bytes < 0) {',
      },
      {
        file: 'src/policy/accept-env.ts',
        check: '!neverTaken.has(name) &&',
        instead: '',
      },
      {
        file: 'src/policy/accept-env.ts',
        check: '!neverTakenPrefixes.some((prefix) => name.startsWith(prefix)) &&',
        instead: '',
      },
    ],
  });

  // ---- windows and packet sizes ----

  incident(
    'asyncssh 2.24.0: a window or packet size of 0, 1 or 2^32 - 1: nothing spins',
    async (site) => {
      for (const [windowBytes, packetBytes] of [
        [0, 32_768],
        [0, 0],
        [100_000, 0],
        [100_000, 1],
        [1, 1],
        [1, largest],
        [largest, 1],
        [largest, largest],
      ] as const) {
        using client = await site.loggedIn();
        client.send(payload(90, str('session'), u32(1), u32(windowBytes), u32(packetBytes)));
        const opened = await client.nextOf(91, 92);
        if (opened[0] === 92) {
          assert.equal(packetBytes, 0);
          continue;
        }
        const fields = new Fields(opened);
        fields.u32();
        const channel = fields.u32();
        client.send(payload(98, u32(channel), str('exec'), yes, str('echo hello')));
        await client.nextOf(99);
        const ending = await client.ending(300, 1_500);
        const data = ending.messages.filter((message) => message[0] === 94);
        const bytes = data.map((message) => message.length - 9).reduce((a, b) => a + b, 0);
        assert.ok(
          bytes <= Math.min(6, windowBytes),
          `${bytes} bytes into a window of ${windowBytes}`,
        );
        assert.ok(data.every((message) => message.length - 9 <= packetBytes));
        if (packetBytes > 0 && windowBytes >= 6) {
          assert.equal(bytes, 6);
        }
      }
      const before = cpuSeconds(site.server);
      await delay(500);
      assert.ok(cpuSeconds(site.server) - before < 0.4, 'somebody is busy with nothing');
    },
  );
  incident(
    'CVE-2026-39834: a window that runs over 2^32 - 1 ends the connection',
    async (site) => {
      for (const [first, second] of [
        [largest, largest],
        [largest - 2_097_152 + 1, 1],
        [largest, 1],
      ] as const) {
        using client = await site.loggedIn();
        const channel = await client.openSession();
        client.send(payload(93, u32(channel), u32(first)));
        client.send(payload(93, u32(channel), u32(second)));
        assertEnded(await client.ending(), 2);
      }
    },
    { seen: true },
  );
  incident('CVE-2026-39834: a window of exactly 2^32 - 1 is used', async (site) => {
    using client = await site.loggedIn();
    const channel = await client.openSession();
    client.send(payload(93, u32(channel), u32(largest - 2_097_152)));
    client.send(payload(98, u32(channel), str('exec'), yes, str('head -c 3000000 /dev/zero')));
    let bytes = 0;
    while (bytes < 3_000_000) {
      bytes += (await client.nextOf(94)).length - 9;
    }
    assert.equal(bytes, 3_000_000);
  });

  // ---- environment ----

  incident(
    'CVE-2014-2532: AcceptEnv * takes nothing that a linker, shell or interpreter acts upon',
    async (site) => {
      using client = await site.loggedIn();
      const channel = await client.openSession(6);
      const env = (name: string | Buffer, value: string | Buffer = '/tmp/evil') =>
        client.send(payload(98, u32(channel), str('env'), no, str(name), str(value)));
      const names = [
        ...[
          'LD_PRELOAD',
          'LD_LIBRARY_PATH',
          'LD_AUDIT',
          'LD_DEBUG',
          'GCONV_PATH',
          'GLIBC_TUNABLES',
        ],
        ...['PATH', 'HOME', 'SHELL', 'USER', 'LOGNAME', 'IFS', 'ENV', 'BASH_ENV', 'SHELLOPTS'],
        ...['NODE_OPTIONS', 'NODE_PATH', 'PERL5OPT', 'PERL5LIB', 'PYTHONPATH', 'PYTHONSTARTUP'],
        ...['RUBYOPT', 'BASH_FUNC_ls%%', 'PS4', 'LOCPATH', 'TZDIR', 'MALLOC_TRACE'],
        ...['SSH_ORIGINAL_COMMAND', 'SSH_CONNECTION', 'SSH_AUTH_SOCK', 'KRB5CCNAME'],
      ];
      for (const name of names) {
        env(name);
      }
      env('A=B', 'x');
      env('A B', 'x');
      env('', 'x');
      env('NUL', Buffer.from('a\0LD_PRELOAD=/tmp/evil'));
      env(Buffer.from('X\0LD_PRELOAD=/tmp/evil\0Y'), 'x');
      env('GOOD', 'a\nLD_PRELOAD=/tmp/evil');
      client.send(payload(98, u32(channel), str('exec'), yes, str('cat /proc/self/environ')));
      const text = await output(client);
      const entries = text.split('\0');
      assert.deepEqual(
        entries.filter((entry) => entry.includes('/tmp/evil') && !entry.startsWith('GOOD=')),
        [],
      );
      assert.ok(entries.includes('GOOD=a\nLD_PRELOAD=/tmp/evil'), 'a name that is harmless came');
      assert.ok(entries.includes('HOME=/home/alice'));
    },
    { seen: true, skip: serverKind === 'sshd' ? 'sshd takes what the pattern says' : false },
  );
  incident(
    'CVE-2014-2532: patterns of AcceptEnv match whole names, 200 variables are bounded',
    async (site) => {
      await using narrow = await startServer({
        config: ['UsePAM yes', 'AcceptEnv LC_* FOO_*_FREE_*'],
      });
      assert.notEqual(narrow.port, site.port);
      using client = await RawSsh.loggedIn(narrow.port, 'alice', keyOf.alice);
      const channel = await client.openSession(6);
      const names = ['XLC_A', 'LC_A', 'lc_a', 'LC', 'FOO_X_FREE_Y', 'FOO_X', 'LC_*'];
      for (const name of names) {
        client.send(payload(98, u32(channel), str('env'), no, str(name), str('marked')));
      }
      for (let index = 0; index < 200; index++) {
        client.send(
          payload(98, u32(channel), str('env'), no, str(`LC_N${index}`), str('x'.repeat(300))),
        );
      }
      client.send(payload(98, u32(channel), str('exec'), yes, str('env | sort')));
      const text = await output(client);
      const marked = [...text.matchAll(/^(.*)=marked$/gm)].map((match) => match[1]);
      // sshd takes what is no name of a variable too.
      const odd = serverKind === 'sshd' ? ['LC_*'] : [];
      assert.deepEqual(marked.toSorted(), ['FOO_X_FREE_Y', ...odd, 'LC_A']);
      if (serverKind === 'sshdesk') {
        const taken = text.match(/^LC_N\d+=/gm)?.length ?? 0;
        assert.ok(taken > 100 && taken <= 128, `${taken} taken`);
      }
    },
  );
  incident(
    'CVE-2015-8325: what a user puts into pam_env reaches no process of root',
    async (site) => {
      // The object says as whom it was loaded.
      writeFileSync(
        '/tmp/incident-preload.c',
        `#include <stdio.h>\n#include <unistd.h>\n__attribute__((constructor)) static void say(void) {
  FILE *file = fopen("/tmp/incident-uids", "a");
  if (file) { fprintf(file, "%d\\n", (int)geteuid()); fclose(file); } }\n`,
      );
      run('cc', ['-shared', '-fPIC', '-o', linkerObject, '/tmp/incident-preload.c']);
      writeFileSync('/tmp/incident-uids', '', { mode: 0o666 });
      run('chmod', ['666', '/tmp/incident-uids']);
      const before = readFileSync('/etc/pam.d/sshd', 'utf8');
      const file = '/home/alice/.pam_environment';
      try {
        writePamService('sshd', [
          ...['auth required pam_permit.so', 'account required pam_permit.so'],
          ...['session required pam_env.so user_readenv=1', 'session required pam_permit.so'],
        ]);
        writeFileSync(file, `LD_PRELOAD DEFAULT=${linkerObject}\nFROM_USER DEFAULT=yes\n`);
        const alice = findUser('alice');
        chownSync(file, alice.uid, alice.gid);
        using client = await site.loggedIn();
        assert.match(await client.exec('/usr/bin/env'), /^FROM_USER=yes$/m);
        // As under sshd: PAM's word counts for the user's own processes, and for those alone.
        const uids = new Set(readFileSync('/tmp/incident-uids', 'utf8').trim().split('\n'));
        assert.deepEqual([...uids], [String(alice.uid)]);
      } finally {
        writeFileSync('/etc/pam.d/sshd', before);
        for (const made of [file, '/tmp/incident-uids', '/tmp/incident-preload.c', linkerObject]) {
          rmSync(made, { force: true });
        }
      }
    },
  );

  // ---- PAM ----

  const withStack = async (lines: readonly string[], act: () => Promise<void>): Promise<void> => {
    const before = readFileSync('/etc/pam.d/sshd', 'utf8');
    writePamService('sshd', lines);
    try {
      await act();
    } finally {
      writeFileSync('/etc/pam.d/sshd', before);
    }
  };
  incident(
    'CVE-2023-40184: pam_open_session fails: nothing runs, by no kind of request',
    async (site) => {
      const stack = [
        ...['auth required pam_unix.so', 'account required pam_unix.so'],
        'session required @lab fail=session',
      ];
      await withStack(stack, async () => {
        for (const [kind, ...more] of [
          ['exec', str(`touch ${trace}`)],
          ['shell'],
          ['subsystem', str('sftp')],
          ['subsystem', str('rfb')],
          ['subsystem', str('display')],
        ] as const) {
          using client = await site.loggedIn();
          const channel = await client.openSession(6);
          client.send(payload(98, u32(channel), str(kind), yes, ...more));
          client.send(payload(94, u32(channel), str(`touch ${trace}\nexit\n`)));
          const ending = await client.ending(800, 5_000);
          assert.ok(!existsSync(trace), `${kind} ran`);
          const status = ending.messages.find((message) => message.includes('exit-status'));
          if (status !== undefined) {
            assert.equal(status.readUInt32BE(status.length - 4), 254, kind);
          } else {
            assert.ok(ending.closed || numbersOf(ending).includes(100), `${kind} was taken`);
          }
        }
      });
    },
  );
  incident('CVE-2023-40184: the limit maxlogins of pam_limits is a limit', async (site) => {
    writeFileSync('/tmp/incident-limits.conf', 'alice hard maxlogins 0\n');
    const stack = [
      ...['auth required pam_unix.so', 'account required pam_unix.so'],
      'session required pam_limits.so conf=/tmp/incident-limits.conf',
    ];
    await withStack(stack, async () => {
      using client = await site.loggedIn();
      const said = await client.exec(`touch ${trace}; echo ran`).catch(() => '');
      assert.doesNotMatch(said, /ran/);
      assert.ok(!existsSync(trace));
    });
    rmSync('/tmp/incident-limits.conf');
    using client = await site.loggedIn();
    assert.equal(await client.exec('echo ran'), 'ran\n');
  });
  incident(
    'TurboVNC#246, NoMachine FR06Q03840: the account stage is asked for every method',
    async (site) => {
      run('usermod', ['-p', run('openssl', ['passwd', '-6', 'secret']).trim(), 'alice']);
      const stack = ['auth required pam_unix.so', 'account required @lab fail=account'];
      await withStack(stack, async () => {
        await assert.rejects(site.loggedIn(), 'a key');
        using client = await site.asking();
        assert.notEqual((await password(client, 'alice', 'secret')).outcome, 'accepted');
      });
      using client = await site.asking();
      assert.equal((await password(client, 'alice', 'secret')).outcome, 'accepted');
    },
  );
  incident('proftpd#1560: a PAM stack without a module that says yes says no', async (site) => {
    for (const stack of [
      ['auth required pam_deny.so', 'account required pam_permit.so'],
      ['auth [default=ignore] pam_debug.so auth=user_unknown', 'account required pam_permit.so'],
      ['auth required pam_no_such_module.so', 'account required pam_permit.so'],
    ]) {
      await withStack(stack, async () => {
        using client = await site.asking();
        assert.notEqual((await password(client, 'alice', 'secret')).outcome, 'accepted', stack[0]);
      });
    }
  });
  incident('CVE-2021-41617: what runs for a user has his groups and no other', async (site) => {
    run('usermod', ['-G', 'games', 'alice']);
    using client = await site.loggedIn();
    const reference = run('su', ['-s', '/bin/sh', '-c', 'id', 'alice']);
    assert.equal(await client.exec('id'), reference);
    const status = await client.exec(
      'grep -E "^(Uid|Gid|Groups|CapEff|CapPrm)" /proc/self/status',
      8,
    );
    const { uid, gid } = findUser('alice');
    assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
    assert.match(status, new RegExp(`^Gid:\\t${gid}\\t${gid}\\t${gid}\\t${gid}$`, 'm'));
    assert.match(status, /^CapEff:\t0000000000000000$/m);
    assert.doesNotMatch(status, /^Groups:\t(.* )?0( |$)/m);
  });

  const keyOf: { alice: RawKey } = { alice: makeRawKey() };
  before(() => {
    const alice = findUser('alice');
    const file = '/home/alice/.ssh/authorized_keys';
    authorize(alice, [...readFileSync(file, 'utf8').trim().split('\n'), keyOf.alice.line]);
  });
});

/** What comes on the channel until it is closed. */
async function output(client: RawSsh): Promise<string> {
  let text = '';
  for (;;) {
    const bytes = await client.nextOf(94, 97);
    if (bytes[0] === 97) {
      return text;
    }
    text += bytes.subarray(9).toString();
  }
}

/** Of all processes of the server, user and system. */
function cpuSeconds(server: TestServer): number {
  return server
    .processes()
    .map(({ pid }) => {
      const file = `/proc/${pid}/stat`;
      const fields = existsSync(file) ? readFileSync(file, 'latin1').split(') ')[1] : undefined;
      const words = fields?.split(' ') ?? [];
      return (Number(words[11] ?? 0) + Number(words[12] ?? 0)) / 100;
    })
    .reduce((a, b) => a + b, 0);
}
