/**
 * The unit files of docs/systemd under a real systemd, which is the first process of a name space.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually } from '../support/child.ts';
import { Ground } from '../support/daemon.ts';
import { checkout, inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { allProcesses, type ProcessEntry, processTree } from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const cgroups = '/run/cgroup2';

/** undefined: a systemd of its own can be had. */
function whyNot(): string | undefined {
  if (!existsSync('/lib/systemd/systemd')) {
    return 'needs systemd';
  }
  mkdirSync(cgroups, { recursive: true });
  const { status, stderr } = spawnSync('mount', ['-t', 'cgroup2', 'cgroup2', cgroups], {
    encoding: 'utf8',
  });
  return status === 0 ? undefined : `needs cgroup2: ${stderr}`;
}

const missing = lab.skip === false ? whyNot() : lab.skip;

describe('under systemd', { ...lab, skip: missing ?? false }, () => {
  const cgroup = `${cgroups}/sshdesk-test-${process.pid}-${Date.now()}`;
  let key: TestKey;
  let ground: Ground;
  let units: string;
  let systemd: Child;
  let init: ProcessEntry;

  /** In its name spaces. */
  const systemctl = (...args: readonly string[]): string =>
    execFileSync(
      'nsenter',
      ['-t', String(init.pid), '-m', '-p', '-C', 'systemctl', '--no-pager', ...args],
      { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] },
    );
  const property = (name: string): string =>
    systemctl('show', '--value', '-p', name, 'sshdesk.service').trim();
  const monitors = (): readonly ProcessEntry[] =>
    allProcesses().filter(({ title }) => /^sshdesk: monitor/.test(title));
  const stay = async (): Promise<Child> => {
    const child = new Child('ssh', sshArguments(ground, { key }, 'echo in; cat'), {
      env: { PATH: '/usr/bin:/bin', HOME: '/root' },
    });
    await eventually('the login', () => child.stdout.includes('in\n'), 20_000);
    return child;
  };
  const echoes = async (client: Child, word: string): Promise<void> => {
    client.process.stdin?.write(`${word}\n`);
    await eventually(`${word} comes back`, () => client.stdout.endsWith(`${word}\n`));
  };
  const leave = async (client: Child): Promise<void> => {
    client.process.stdin?.end();
    assert.equal((await client.finished).code, 0, client.stderr);
  };

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    ground = await Ground.make();
    writeFileSync('/etc/ssh/sshd_config', readFileSync(ground.configFile));
    units = mkdtempSync('/tmp/units-');
    for (const name of ['sshdesk.service', 'sshdesk.socket']) {
      const text = readFileSync(path.join(checkout, 'docs/systemd', name), 'utf8')
        .replaceAll('/opt/sshdesk', checkout)
        .replace('ListenStream=22', `ListenStream=${ground.port}`);
      writeFileSync(path.join(units, name), text);
    }
    systemd = new Child(path.join(checkout, 'test/lab/systemd.sh'), [units, cgroup]);
    init = await eventually(
      'systemd',
      () =>
        processTree(systemd.pid).find(
          ({ title, pid }) => pid !== systemd.pid && title.startsWith('/lib/systemd/systemd'),
        ),
      20_000,
    );
    await eventually(
      'it is there',
      () => {
        try {
          return systemctl('is-active', 'multi-user.target').trim() === 'active';
        } catch {
          return false; // not yet
        }
      },
      20_000,
    ).catch((error: unknown) => {
      throw new Error(systemd.stdout + systemd.stderr, { cause: error });
    });
  });
  after(async () => {
    await systemd?.stop('SIGKILL');
    await eventually('its cgroup is empty', () => {
      execFileSync('find', [cgroup, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'], {
        stdio: 'ignore',
      });
      return !existsSync(cgroup);
    }).catch(() => undefined);
    rmSync(units, { recursive: true, force: true });
    await ground?.[Symbol.asyncDispose]();
    run('umount', [cgroups]);
  });

  test('start: it is active when it listens, and says where', async () => {
    systemctl('start', 'sshdesk.service');
    assert.equal(property('ActiveState'), 'active');
    assert.equal(property('StatusText'), `Listening on 127.0.0.1 port ${ground.port}.`);
    const outcome = await ssh(ground, { key }, 'env');
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.doesNotMatch(outcome.text, /NOTIFY_SOCKET|WATCHDOG|LISTEN_|INVOCATION_ID|JOURNAL/);
  });

  test('reload: followed; of a broken file systemctl tells, and all goes on', async () => {
    const config = readFileSync(ground.configFile, 'utf8');
    const client = await stay();
    writeFileSync('/etc/ssh/sshd_config', `${config}ForceCommand echo forced\n`);
    systemctl('reload', 'sshdesk.service');
    await eventually('it is followed', () => property('StatusText').startsWith('New connections'));
    assert.equal((await ssh(ground, { key }, 'true')).text, 'forced\n');
    writeFileSync('/etc/ssh/sshd_config', `${config}NoSuchKeyword\n`);
    assert.throws(() => systemctl('reload', 'sshdesk.service'));
    assert.equal(property('ActiveState'), 'active');
    writeFileSync('/etc/ssh/sshd_config', config);
    systemctl('reload', 'sshdesk.service');
    await eventually(
      'it is followed',
      async () => (await ssh(ground, { key }, 'echo in')).text === 'in\n',
    );
    await echoes(client, 'still');
    await leave(client);
  });

  test('restart: at once, the login goes on, the old daemon ends with it', async () => {
    const client = await stay();
    const [old] = monitors();
    const began = Date.now();
    systemctl('restart', 'sshdesk.service');
    assert.ok(Date.now() - began < 15_000, 'it does not wait for the login');
    assert.equal(property('ActiveState'), 'active');
    assert.equal(monitors().length, 2);
    await echoes(client, 'still');
    assert.equal((await ssh(ground, { key }, 'echo new')).text, 'new\n');
    await leave(client);
    await eventually('the old one ends', () => !monitors().some(({ pid }) => pid === old?.pid));
    assert.equal(property('ActiveState'), 'active');
    assert.equal(property('NRestarts'), '0');
  });

  test('the daemon killed: systemd starts another one', async () => {
    const [old] = monitors();
    process.kill(old?.pid ?? 0, 'SIGKILL');
    await eventually(
      'another one',
      () => property('NRestarts') === '1' && property('ActiveState') === 'active',
      20_000,
    );
    assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
  });

  test('the daemon hangs: the watchdog has it replaced', async () => {
    const drop = path.join(units, 'sshdesk.service.d');
    mkdirSync(drop);
    writeFileSync(path.join(drop, 'soon.conf'), '[Service]\nWatchdogSec=2s\n');
    systemctl('daemon-reload');
    systemctl('restart', 'sshdesk.service');
    await eventually('the old one ends', () => monitors().length === 1);
    const [hung] = monitors();
    process.kill(hung?.pid ?? 0, 'SIGSTOP');
    await eventually(
      'another one',
      () => {
        const now = monitors();
        return (
          now.length === 1 && now[0]?.pid !== hung?.pid && property('ActiveState') === 'active'
        );
      },
      20_000,
    );
    assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
    rmSync(drop, { recursive: true });
    systemctl('daemon-reload');
  });

  test('stop: the login stays, the port does not', async () => {
    const client = await stay();
    systemctl('stop', 'sshdesk.service');
    assert.equal(property('ActiveState'), 'inactive');
    assert.match((await ssh(ground, { key }, 'true')).stderr, /Connection refused/);
    await echoes(client, 'still');
    await leave(client);
    await eventually('all end', () => monitors().length === 0);
  });

  test('the socket unit: nobody is refused while the service is restarted', async () => {
    systemctl('start', 'sshdesk.socket');
    assert.equal(
      (await ssh(ground, { key }, 'echo first')).text,
      'first\n',
      'the first one starts it',
    );
    assert.match(property('StatusText'), new RegExp(`^Listening on :: port ${ground.port}\\.`));
    let isOver = false;
    const failures: string[] = [];
    let served = 0;
    const dialling = (async () => {
      while (!isOver) {
        const outcome = await ssh(ground, { key }, 'echo in');
        served += outcome.text === 'in\n' ? 1 : 0;
        if (outcome.text !== 'in\n') {
          failures.push(outcome.stderr);
        }
      }
    })();
    try {
      for (let round = 0; round < 3; round++) {
        systemctl('restart', 'sshdesk.service');
        const before = served;
        await eventually('logins', () => served > before + 1, 20_000);
      }
    } finally {
      isOver = true;
      await dialling;
    }
    assert.deepEqual(failures, []);
    systemctl('stop', 'sshdesk.socket', 'sshdesk.service');
  });
});
