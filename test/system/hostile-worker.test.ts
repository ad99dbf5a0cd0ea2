/**
 * Somebody runs code in a worker. Each attack is first seen to succeed against a copy without the
 * check that it is up against, then to gain nothing. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type HostileServer, startHostile } from '../support/hostile-server.ts';
import { checkout, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { type Removal, weaken } from '../support/weakened.ts';

const lab = inLab(import.meta.url, 300_000);

interface Attack {
  readonly program: string;
  readonly removals: readonly Removal[];
}

const replay: Attack = {
  program: 'replay.ts',
  removals: [
    {
      file: 'src/monitor/requests/sign-exchange.ts',
      check: '!serverKexInit.subarray(1, 1 + cookieBytes).equals(connection.cookie)',
      instead: 'false',
    },
  ],
};
const forge: Attack = {
  program: 'forge.ts',
  removals: [
    {
      file: 'src/monitor/requests/publickey.ts',
      check: 'verifySignature(algorithm.signature.name, key, signature, signed);',
      instead: '{ fido: undefined };',
    },
  ],
};
const otherUser: Attack = {
  program: 'other-user.ts',
  removals: [
    {
      file: 'src/process/monitor.ts',
      check: 'worker.connections.get(number)',
      instead: 'this.#connections.all.find((one) => one.number === number)',
    },
  ],
};
const sendDescriptors: Attack = {
  program: 'descriptors.ts',
  removals: [
    { file: 'src/process/worker-pool.ts', check: 'rejectDescriptors: true,', instead: '' },
  ],
};
const keepDisplay: Attack = {
  program: 'keep-display.ts',
  removals: [
    {
      file: 'src/broker/viewer-holds.ts',
      check: 'this.#port.shutdown(hold.duplicate);',
      instead: '',
    },
  ],
};
const claimReauthentication: Attack = {
  program: 'claim-reauthentication.ts',
  removals: [
    {
      file: 'src/broker/resume-guard.ts',
      check: 'this.#isWanted(owner) && !this.#mayOpen(resumer, id)',
      instead: 'id === this.constructor.name',
    },
  ],
};
const forcedDesktop: Attack = {
  program: 'forced-desktop.ts',
  removals: [
    { file: 'src/broker/forced-desktop.ts', check: "forced !== 'rfb'", instead: "forced !== ''" },
  ],
};
const forbiddenForwarding: Attack = {
  program: 'forbidden-forwarding.ts',
  removals: [
    {
      file: 'src/policy/permit-open.ts',
      check: "grant.tcpForwarding !== 'yes' && grant.tcpForwarding !== 'local'",
      instead: 'false',
    },
    {
      file: 'src/policy/permit-open.ts',
      check: "streamLocalForwarding !== 'yes' && streamLocalForwarding !== 'local'",
      instead: "streamLocalForwarding === 'yes'",
    },
    {
      file: 'src/policy/permit-listen.ts',
      check: "return direction === 'yes' || direction === 'remote';",
      instead: "return direction === 'no';",
    },
  ],
};
const everyRequest: Attack = {
  program: 'every-request.ts',
  removals: [
    {
      file: 'src/monitor/request-table.ts',
      check: '!row.phase.includes(connection.phase)',
      instead: 'false',
    },
  ],
};

/** What may be answered at all; everything else ends the connection. */
const allowedIn = {
  preauth: ['userauth-begin'],
  postauth: [
    'prove-host-keys',
    'session-open',
    'direct-tcpip',
    'tcpip-forward',
    'direct-streamlocal',
    'streamlocal-forward',
  ],
} as const;

describe('a worker that was taken over', lab, () => {
  let key: TestKey;
  const sockets: Socket[] = [];
  const clients: ChildProcess[] = [];

  before(() => {
    key = makeKey('ed25519');
    for (const name of ['alice', 'bob']) {
      makeUser(name, { authorizedKeys: [key.line] });
    }
    makeUser('erin', { authorizedKeys: [key.line] });
    makeUser('dora', { authorizedKeys: [`restrict ${key.line}`] });
    makeUser('carol', { authorizedKeys: [`command="rfb" ${key.line}`] });
  });
  after(() => {
    for (const socket of sockets) {
      socket.destroy();
    }
    for (const client of clients) {
      client.kill('SIGKILL');
    }
  });

  const sshArguments = (port: number, user: string): string[] => [
    ...['-F', 'none', '-p', String(port), '-i', key.file, '-o', 'IdentitiesOnly=yes'],
    ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
    ...['-o', 'LogLevel=ERROR', '-o', 'BatchMode=yes', `${user}@127.0.0.1`],
  ];
  const logIn = async (server: HostileServer, user: string): Promise<void> => {
    const { status, stderr } = spawnSync('ssh', [...sshArguments(server.port, user), 'true'], {
      timeout: 20_000,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    await server.logged(/Disconnected from user/); // the next one goes to the same worker
  };
  const stay = (port: number, user: string): ChildProcess => {
    const client = spawn('ssh', ['-N', ...sshArguments(port, user)], { stdio: 'ignore' });
    clients.push(client);
    return client;
  };
  const knock = (port: number): Socket => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}); // being thrown out is what is wanted
    sockets.push(socket);
    return socket;
  };

  const against = async (
    { program, removals }: Attack,
    isWeakened: boolean,
    use: (server: HostileServer) => Promise<void>,
  ): Promise<void> => {
    const server = await startHostile(isWeakened ? weaken(removals) : checkout, program);
    try {
      await use(server);
    } finally {
      await server.stop();
    }
  };

  test('cannot play an old exchange and a recorded signature again', async () => {
    const attack = async (server: HostileServer) => {
      await logIn(server, 'alice');
      knock(server.port);
      return server.reported((report) => report['attack'] === 'replay');
    };
    await against(replay, true, async (server) => {
      const { signed, opened } = await attack(server);
      assert.deepEqual({ signed, opened }, { signed: 'answered', opened: 'answered' });
    });
    await against(replay, false, async (server) => {
      const { signed, opened } = await attack(server);
      assert.equal(signed, 'refused');
      assert.equal(opened, 'no such connection');
      // What crosses the end of a connection of its own is no offence.
      assert.doesNotMatch(server.log(), /which is not its own/);
      assert.match(server.log(), /refused sign-exchange: .*cookie/);
    });
  });

  test('cannot forge the verdict on a key', async () => {
    const attack = async (server: HostileServer) => {
      await logIn(server, 'alice');
      knock(server.port);
      return server.reported((report) => report['attack'] === 'forge');
    };
    await against(forge, true, async (server) => {
      assert.equal((await attack(server))['opened'], 'answered');
    });
    await against(forge, false, async (server) => {
      const { signed, verdict, opened } = await attack(server);
      assert.equal(signed, 'answered', 'an exchange of its own is no attack');
      assert.equal(verdict, 2, 'refused');
      assert.notEqual(opened, 'answered');
    });
  });

  test("cannot give orders to another user's leader", async () => {
    const attack = async (server: HostileServer) => {
      const victim = stay(server.port, 'alice');
      await server.logged(/Accepted publickey for alice/);
      knock(server.port);
      const report = await server.reported((one) => one['attack'] === 'other-user');
      victim.kill('SIGKILL');
      return report['gained'];
    };
    await against(otherUser, true, async (server) => {
      assert.deepEqual(await attack(server), ['alice']);
    });
    await against(otherUser, false, async (server) => {
      assert.deepEqual(await attack(server), []);
      await server.logged(
        /refused session-open of worker \d for connection \d, which is not its own/,
      );
      await server.logged(
        /refused connection-closed of worker \d for connection 999999, which is not its own/,
      );
      const lines = server.log().match(/refused connection-closed/g) ?? [];
      assert.ok(lines.length < 3500, `${lines.length} lines`);
    });
  });

  test('cannot fill the monitor with descriptors', async () => {
    const grown = async (server: HostileServer): Promise<number> => {
      const before = server.descriptors();
      knock(server.port);
      await server.reported((report) => report['attack'] === 'descriptors');
      await delay(200);
      return server.descriptors() - before;
    };
    await against(sendDescriptors, true, async (server) => {
      const count = await grown(server);
      assert.ok(count > 500, `${count} more`);
    });
    await against(sendDescriptors, false, async (server) => {
      const count = await grown(server);
      assert.ok(count < 10, `${count} more`);
    });
  });

  test('cannot look at a desktop any longer than its viewer lasts', async () => {
    const attack = async (server: HostileServer, end: 'suspended' | 'closed') => {
      const viewer = spawn('ssh', [...sshArguments(server.port, 'alice'), '-s', 'rfb'], {
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      clients.push(viewer);
      const { descriptor } = await server.reported((one) => one['attack'] === 'keep-display');
      assert.equal(typeof descriptor, 'number');
      if (end === 'suspended') {
        const { status, stderr } = spawnSync(
          path.join(checkout, 'sshdesk'),
          ['sessions', 'suspend', 'default'],
          { encoding: 'utf8', timeout: 20_000 },
        );
        assert.equal(status, 0, stderr);
      } else if (end === 'closed') {
        viewer.kill('SIGKILL');
      }
      const { alive } = await server.reported((one) => 'alive' in one);
      return alive;
    };
    await against(keepDisplay, true, async (server) => {
      assert.equal(await attack(server, 'suspended'), true);
    });
    await against(keepDisplay, false, async (server) => {
      assert.equal(await attack(server, 'suspended'), false);
    });
    await against(keepDisplay, false, async (server) => {
      assert.equal(await attack(server, 'closed'), false);
    });
  });

  test('cannot claim that who it was has been shown again', async () => {
    mkdirSync('/etc/sshdesk', { recursive: true });
    writeFileSync('/etc/sshdesk/sshdesk_config', 'Match User erin\nDesktopReauth resume\n');
    const attack = async (server: HostileServer) => {
      const words = [...sshArguments(server.port, 'erin'), '-s', 'rfb'];
      spawnSync('ssh', words, { input: '', timeout: 20_000 });
      await server.logged(/Disconnected from user erin/);
      stay(server.port, 'erin');
      return server.reported((one) => one['attack'] === 'claim-reauthentication');
    };
    await against(claimReauthentication, true, async (server) => {
      const { attached } = await attack(server);
      assert.deepEqual(attached, ['answered', 'answered', 'answered']);
    });
    await against(claimReauthentication, false, async (server) => {
      const { found, attached, asks, refuses, unasked } = await attack(server);
      assert.deepEqual([found, asks, refuses], ['answered', true, true]);
      for (const outcome of attached as readonly string[]) {
        assert.match(outcome, /^This desktop is resumed only after/);
      }
      assert.equal(unasked, 'refused');
      assert.match(server.log(), /refused answers where nothing was asked/);
    });
  });

  test('cannot have more than the one desktop that a forced command gives', async () => {
    const attack = async (server: HostileServer) => {
      stay(server.port, 'carol');
      const report = await server.reported((one) => one['attack'] === 'forced-desktop');
      return [report['found'], report['listed'], report['started']];
    };
    await against(forcedDesktop, true, async (server) => {
      assert.deepEqual(await attack(server), ['answered', 'answered', 'answered']);
    });
    await against(forcedDesktop, false, async (server) => {
      const [found, listed, started] = await attack(server);
      assert.equal(found, 'answered', 'that one is granted');
      assert.equal(listed, 'refused');
      assert.equal(started, 'no such connection');
      assert.match(server.log(), /refused desktop-list under the forced command rfb/);
    });
  });

  test('cannot have forwarded what the key forbids', async () => {
    const attack = async (server: HostileServer) => {
      stay(server.port, 'dora');
      return server.reported((one) => one['attack'] === 'forbidden-forwarding');
    };
    await against(forbiddenForwarding, true, async (server) => {
      // Nothing listens on port 1; the other three are had.
      assert.deepEqual((await attack(server))['gained'], [0, 1, 1, 1]);
    });
    await against(forbiddenForwarding, false, async (server) => {
      const { gained, outcomes, closing, isOver } = await attack(server);
      assert.deepEqual(gained, [0, 0, 0, 0]);
      assert.deepEqual(outcomes, ['open failed', 'refused', 'refused', 'open failed']);
      assert.deepEqual([closing, isOver], ['refused', true]);
      assert.match(server.log(), /refused local port forward: originator 127\.0\.0\.1 port 1,/);
      assert.match(
        server.log(),
        /to remote forward to host 127\.0\.0\.1 port 0, but the request was/,
      );
      assert.match(server.log(), /refused streamlocal port forward: /);
      assert.match(server.log(), /to remote forward to path "\/tmp\/forbidden-/);
      assert.match(server.log(), /monitor: refused no listener 1 on this connection/);
    });
  });

  test('cannot accept on a port of a connection that is over', async () => {
    const server = await startHostile(checkout, 'keep-listener.ts');
    try {
      const client = stay(server.port, 'alice');
      const { port } = await server.reported((one) => 'port' in one);
      const dial = () =>
        new Promise<boolean>((resolve) => {
          const socket = connect(port as number, '127.0.0.1');
          socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
        });
      assert.equal(await dial(), true);
      await server.reported((one) => one['accepted'] === true);
      client.kill('SIGKILL');
      await server.logged(/^Closing connection to 127\.0\.0\.1 port \d+/m);
      for (let tries = 0; tries < 200 && (await dial()); tries++) {
        await delay(25);
      }
      assert.equal(await dial(), false);
    } finally {
      await server.stop();
    }
  });

  test('is answered nothing that its phase does not allow', async () => {
    const ask = async (server: HostileServer, phase: 'preauth' | 'postauth') => {
      const names = (await server.reported((one) => 'requests' in one))['requests'] as string[];
      for (const _name of names) {
        // One after another, so that the numbers of the connections are the rows of the list.
        const already = server.log().match(/^Connection from/gm)?.length ?? 0;
        if (phase === 'preauth') {
          knock(server.port);
        } else {
          stay(server.port, 'bob');
        }
        while ((server.log().match(/^Connection from/gm)?.length ?? 0) === already) {
          await delay(10);
        }
      }
      const answers = names.map((name) =>
        server.reported((one) => one['request'] === name && one['phase'] === phase),
      );
      return { names, answers: await Promise.all(answers) };
    };
    await against(everyRequest, true, async (server) => {
      const { answers } = await ask(server, 'preauth');
      const answered = answers.filter(({ outcome }) => outcome === 'answered');
      assert.ok(answered.length >= 1);
      const behind = await ask(server, 'postauth');
      const wrongly = behind.answers.filter(
        ({ request, outcome }) =>
          outcome === 'answered' && !(allowedIn.postauth as readonly unknown[]).includes(request),
      );
      assert.notEqual(wrongly.length, 0, 'without the check some are answered');
    });
    await against(everyRequest, false, async (server) => {
      for (const phase of ['preauth', 'postauth'] as const) {
        const { answers } = await ask(server, phase);
        for (const { request, outcome, isOver } of answers) {
          const isAllowed = (allowedIn[phase] as readonly unknown[]).includes(request);
          assert.equal(outcome === 'answered', isAllowed, `${request} in ${phase}: ${outcome}`);
          assert.equal(isOver, !isAllowed, `${request} in ${phase}`);
        }
      }
    });
  });
});
