/**
 * Users and PAM modules that mean no good to a leader or to the zygote: setuid programs, stopped
 * children, bombs, large groups, what a module leaves behind. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { stdio } from '../../pam/leader-protocol.ts';
import { closeDescriptor } from '../../src/base/socket.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { inLab, makeUser, run, writePamService } from '../support/lab.ts';
import {
  begin,
  type DrivenLeader,
  isAlive,
  leaderExecutable,
  order,
  statusOf,
  until,
  ZygoteDriver,
} from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);
const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const EPERM = 1;
const live = { mode: 0, password: Buffer.alloc(0), allowEmpty: false, refused: false };

/** Compiles a C program to `file`. */
function compile(file: string, source: string, mode = '0755'): void {
  run('cc', ['-x', 'c', '-D_GNU_SOURCE', '-o', file, '-'], source);
  run('chmod', [mode, file]);
}

describe('against', lab, () => {
  let driver: ZygoteDriver;
  let desktops = 0;

  before(() => {
    makeUser('alice');
    run('chmod', ['1777', '/tmp']);
    mkdirSync('/run/desktops', { mode: 0o711 });
    for (const phase of ['auth', 'session']) {
      const line = `required @lab mess=${phase} count=/tmp/mess-${phase}`;
      writePamService(`lab-mess-${phase}`, [`auth ${line}`, `account ${line}`, `session ${line}`]);
    }
    writePamService('lab-no-session', [
      'auth required pam_permit.so',
      'account required pam_permit.so',
      'session required @lab fail=session',
    ]);
    writePamService('lab-limits', [
      'account required pam_permit.so',
      'session required pam_limits.so',
    ]);
    driver = new ZygoteDriver();
  });
  after(() => driver.close());

  async function entered(service = '', kind = 0, from = driver): Promise<DrivenLeader> {
    const leader = await from.fork();
    await leader.enter('alice', service, kind);
    return leader;
  }

  async function desktop(): Promise<DrivenLeader> {
    const leader = await entered('', 1);
    await leader.client.desktopBegin({
      id: '0123456789ABCDEF0123456789ABCDEF',
      directory: `/run/desktops/${desktops++}`,
      startedAt: '2026-01-02T03:04:05Z',
      xauthority: Buffer.from('not a real one'),
    });
    return leader;
  }

  /** A process of alice's without any pipe that would have to be read. */
  const start = (leader: DrivenLeader, command: string) =>
    leader.client.spawn(order(command, { stdio: stdio.log }));

  test('a signal to a setuid program that has become root', async () => {
    compile(
      '/usr/local/bin/become-root',
      `#include <stdio.h>
       #include <unistd.h>
       int main(void) { if (setresuid(0, 0, 0) != 0) return 9; fclose(fopen("/run/became", "w")); pause(); }`,
      '4755',
    );
    const leader = await entered();
    const { handle, pid } = await start(leader, 'exec /usr/local/bin/become-root');
    await until(() => existsSync('/run/became'), 'the program is root');
    await assert.rejects(leader.client.signal(handle, 9), isErrno(EPERM));
    assert.equal(statusOf(pid, 'Uid'), '0 0 0 0');
    process.kill(pid, 'SIGKILL');
    await leader.exit(handle);
    await leader.client.end(0);
  });

  test('a user who stops whatever of the leader runs with his id', async () => {
    compile(
      '/usr/local/bin/stopper',
      `#include <dirent.h>
       #include <signal.h>
       #include <stdio.h>
       #include <stdlib.h>
       #include <string.h>
       int main(void) {
         fclose(fopen("/tmp/stopping", "w"));
         for (;;) {
           DIR *all = opendir("/proc");
           struct dirent *one;
           while ((one = readdir(all)) != NULL) {
             char path[300], name[32] = "";
             snprintf(path, sizeof path, "/proc/%s/comm", one->d_name);
             FILE *file = atoi(one->d_name) > 1 ? fopen(path, "r") : NULL;
             if (file == NULL) continue;
             if (fgets(name, sizeof name, file) != NULL && strcmp(name, "sshdesk-leader\\n") == 0 &&
                 kill(atoi(one->d_name), SIGSTOP) == 0) fclose(fopen("/tmp/stopped", "w"));
             fclose(file);
           }
           closedir(all);
         }
       }`,
    );
    const leader = await desktop();
    // As where nothing can be mounted: the leader has something to remove that takes its time.
    run('sh', ['-c', 'umount --lazy /run/desktops/*/user']);
    const made = await leader.run(
      'cd /run/desktops/0/user 2>/dev/null || cd /run/desktops/*/user; for i in $(seq 20000); do echo >$i; done',
    );
    assert.equal(made.status, 0, made.stderr);
    const other = await entered();
    const { handle } = await start(other, 'exec /usr/local/bin/stopper');
    await until(() => existsSync('/tmp/stopping'), 'the stopper runs');
    await leader.client.end(0);
    await until(() => !isAlive(leader.client.pid), 'the leader has gone', 10_000);
    assert.ok(existsSync('/tmp/stopped'), 'something was stopped');
    await other.client.signal(handle, 9).catch(() => {
      // The helper that sends the signal may be stopped as well: the test ends it as root.
      run('pkill', ['-9', '-x', 'stopper']);
    });
    await other.client.end(0);
  });

  test('a desktop whose processes fork without end', async () => {
    compile(
      '/usr/local/bin/bomb',
      `#include <signal.h>
       #include <time.h>
       #include <unistd.h>
       int main(void) {
         for (int i = 0; i < 20 && fork() != 0; i++) {}
         signal(SIGTERM, SIG_IGN); signal(SIGHUP, SIG_IGN);
         time_t began = time(NULL);
         while (time(NULL) < began + 15) { if (fork() > 0) _exit(0); setsid(); }
       }`,
    );
    const leader = await desktop();
    await start(leader, 'exec /usr/local/bin/bomb');
    await delay(300);
    const began = performance.now();
    await leader.client.end(0);
    const tookMs = performance.now() - began;
    await delay(100);
    const left = run('sh', ['-c', 'pgrep -x bomb | wc -l']).trim();
    run('sh', ['-c', 'pkill -9 -x bomb; true']);
    assert.equal(left, '0', `after ${tookMs} ms`);
    assert.ok(tookMs < 15_000, `${tookMs} ms`);
  });

  test('a group so large that its entry does not fit: DenyGroups must see it', async () => {
    const members = Array.from({ length: 4000 }, (_, index) => `member${index}`);
    writeFileSync('/etc/group', `large:x:4999:${members.join(',')},alice\n`, { flag: 'a' });
    const leader = await driver.fork();
    const account = await begin(leader.client, 'alice');
    assert.ok(account.groups.includes('large'), account.groups.join());
    await leader.client.end(0);
  });

  test('limits of the user that would end or starve the leader', async () => {
    writeFileSync('/etc/security/limits.conf', 'alice soft cpu 1\nalice soft nofile 20\n');
    const leader = await entered('lab-limits');
    const limits = readFileSync(`/proc/${leader.client.pid}/limits`, 'utf8');
    assert.match(limits, /^Max cpu time +unlimited/m);
    assert.doesNotMatch(limits, /^Max open files +20 /m);
    assert.equal((await leader.run('ulimit -St; ulimit -Sn')).stdout, '60\n20\n');
    await leader.client.end(0);
  });

  test('a session that PAM refuses: nothing is started in it', async () => {
    const leader = await driver.fork();
    await begin(leader.client, 'alice', 'lab-no-session');
    const { sessionCode } = await leader.client.establish('ssh');
    assert.notEqual(sessionCode, 0);
    await assert.rejects(leader.client.spawn(order('true')), isErrno(EPERM));
    await leader.client.end(0);
  });

  test('a module that leaves its mess behind in authentication', async () => {
    const leader = await driver.fork();
    await begin(leader.client, 'alice', 'lab-mess-auth');
    assert.equal((await leader.client.authenticate(live)).returnCode, 0);
    await assertTidy(leader);
    await leader.client.establish('ssh');
    assert.equal((await leader.run('id -u; exit 3')).status, 3);
    await leader.client.end(0);
    assert.match(readFileSync('/tmp/mess-auth', 'utf8'), /^close .*uid=0 /m);
  });

  test('a module that leaves its mess behind in the session', async () => {
    const leader = await driver.fork();
    await begin(leader.client, 'alice', 'lab-mess-session');
    await leader.client.establish('ssh');
    await assertTidy(leader);
    const { status, stdout } = await leader.run('id -u; id -g; exit 3');
    assert.equal(status, 3, 'the end is told, though SIGCHLD was ignored');
    assert.doesNotMatch(stdout, /65534/);
    await delay(1200); // the module's alarm
    assert.ok(isAlive(leader.client.pid));
    process.kill(leader.client.pid, 'SIGTERM');
    await until(() => !isAlive(leader.client.pid), 'the leader hears SIGTERM');
    assert.match(readFileSync('/tmp/mess-session', 'utf8'), /^close .*uid=0 /m);
  });

  async function assertTidy(leader: DrivenLeader): Promise<void> {
    const { pid } = leader.client;
    assert.equal(statusOf(pid, 'Uid'), '0 0 0 0');
    assert.equal(statusOf(pid, 'Gid'), '0 0 0 0');
    assert.equal(statusOf(pid, 'SigBlk'), '0000000000000000');
    assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
  }

  test('a starter whose session keyring holds something', async () => {
    // 250 keyctl, 248 add_key on x86_64; 219 and 217 on arm64.
    const [keyctl, addKey] = process.arch === 'x64' ? [250, 248] : [219, 217];
    const call = 'import ctypes,os,sys\nl=ctypes.CDLL(None,use_errno=True)\n';
    const search = `${call}r=l.syscall(${keyctl},10,-3,b"user",b"canary",0)\nprint(r>0, flush=True)\n`;
    writeFileSync(
      '/usr/local/bin/with-keyring',
      `#!/usr/bin/python3\n${call}l.syscall(${keyctl},1,None)\nl.syscall(${addKey},b"user",b"canary",b"x",1,-3)\n` +
        `r=l.syscall(${keyctl},10,-3,b"user",b"canary",0)\nopen("/run/has-keys","w").write(str(r>0))\n` +
        `os.execv(${JSON.stringify(leaderExecutable)},[${JSON.stringify(leaderExecutable)}]+sys.argv[1:])\n`,
      { mode: 0o755 },
    );
    const other = new ZygoteDriver('/usr/local/bin/with-keyring');
    const leader = await entered('', 0, other);
    const { stdout, stderr } = await leader.run(`exec python3 -c '${search}'`);
    if (readFileSync('/run/has-keys', 'utf8') === 'True') {
      assert.equal(stdout, 'False\n', stderr);
    }
    await leader.client.end(0);
    other.close();
  });

  test('a start without standard streams', async () => {
    writeFileSync(
      '/usr/local/bin/without-streams',
      `#!/bin/sh\nexec ${leaderExecutable} "$@" 0<&- 1>&- 2>&-\n`,
      { mode: 0o755 },
    );
    const other = new ZygoteDriver('/usr/local/bin/without-streams');
    const leader = await entered('', 0, other);
    for (const descriptor of [0, 1, 2]) {
      assert.equal(readlinkSync(`/proc/${leader.client.pid}/fd/${descriptor}`), '/dev/null');
    }
    assert.equal((await leader.run('echo well')).stdout, 'well\n');
    await leader.client.end(0);
    other.close();
  });

  test('so many pipes of root that the next ones are small', async () => {
    const hold = `
import os,resource,sys
resource.setrlimit(resource.RLIMIT_NOFILE,(6000,6000))
all=[os.pipe() for i in range(1500)]
os.setresuid(-1,65534,-1)
r,w=os.pipe()
import fcntl
print(fcntl.fcntl(w,1032),flush=True)
sys.stdin.read()`;
    const { spawn } = await import('node:child_process');
    const holder = spawn('python3', ['-c', hold], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      let small = '';
      holder.stdout.on('data', (chunk: Buffer) => {
        small += String(chunk);
      });
      await until(() => small.includes('\n'), 'the pipes are held');
      const leader = await entered();
      const size = 'import fcntl\nprint(fcntl.fcntl(0,1032),fcntl.fcntl(1,1032))';
      const text = Buffer.alloc(16 * 1024, 'x');
      const { stdout, stderr } = await leader.run(`exec python3 -c '${size}'`, {
        stderrText: text,
      });
      assert.equal(stdout, '262144 262144\n', `a plain pipe has ${small}`);
      assert.equal(stderr.length, text.length);
      await leader.client.end(0);
    } finally {
      holder.kill();
    }
  });

  test('an init that does not reap: the zygote waits for its workers', async () => {
    const other = new ZygoteDriver();
    mkdirSync('/usr/local/app', { recursive: true });
    const about = 'import sys; print(sys.base_prefix, "%d.%d" % sys.version_info[:2])';
    const [prefix, version] = run('python3', ['-c', about]).trim().split(' ') as [string, string];
    const worker = await other.zygote.startWorker({
      arguments: [
        `${prefix}/bin/python${version}`,
        ...['-I', '-S', '-c', 'import os,time\nos.read(3,1)\ntime.sleep(0.5)'],
      ],
      environment: [],
      readOnly: ['/usr/local/app', prefix],
      directory: '/usr/local/app',
      uid: 64_123,
      gid: 64_123,
      relaxed: false,
    });
    const { pid } = other.zygote;
    closeDescriptor(worker.peerDescriptor);
    other.close();
    await until(() => !isAlive(pid), 'the zygote has gone');
    // A zombie would still have its folder.
    assert.ok(!existsSync(`/proc/${worker.pid}`));
  });

  test('a worker that does not end: the zygote goes all the same, and takes it along', async () => {
    const other = new ZygoteDriver();
    mkdirSync('/usr/local/app', { recursive: true });
    const worker = await other.zygote.startWorker({
      arguments: ['/bin/sleep', '20'],
      environment: [],
      readOnly: ['/usr/local/app'],
      directory: '/usr/local/app',
      uid: 64_123,
      gid: 64_123,
      relaxed: false,
    });
    const { pid } = other.zygote;
    closeSync(worker.peerDescriptor);
    const began = performance.now();
    other.close();
    await until(() => !isAlive(pid), 'the zygote has gone');
    assert.ok(performance.now() - began < 3500);
    await until(() => !isAlive(worker.pid), 'the worker has gone');
  });
});
