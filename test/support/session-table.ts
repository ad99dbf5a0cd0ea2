/**
 * A table of configurations and sessions, each asked of sshdesk and of Debian's sshd on the same
 * files, accounts and client; what comes back is compared byte for byte. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { makeKey, makeUser, run, type TestKey, writePamService } from './lab.ts';
import { startServer, type TestServer } from './server.ts';
import { type ClientOptions, ssh } from './stock-client.ts';

export interface Case {
  readonly name: string;
  readonly user?: string;
  readonly options?: Omit<ClientOptions, 'key' | 'user'>;
  readonly command?: readonly string[];
  /** Nobody has been logged in before. */
  readonly isFirst?: boolean;
}

export interface Ground {
  readonly name: string;
  readonly config: readonly string[];
  readonly cases: readonly Case[];
  /** Before the logins; what it returns undoes it. */
  readonly prepare?: (() => () => void) | undefined;
}

/** A shell that says who it is and ends: nothing is typed, whose echo would stand anywhere. */
const shell = `#!/bin/bash
if [ "$1" = -c ]; then exec /bin/bash "$@"; fi
echo "shell $0 $*"
env | sort
`;

/** The accounts of the table, and the key that all of them take. */
function makeUsers(): TestKey {
  const key = makeKey('ed25519');
  const authorizedKeys = [key.line];
  writeFileSync('/usr/local/bin/telling-shell', shell, { mode: 0o755 });
  makeUser('alice', { authorizedKeys, shell: '/usr/local/bin/telling-shell' });
  run('usermod', ['-s', '/usr/local/bin/telling-shell', 'root']);
  writePamService('passwd', ['password requisite pam_deny.so']);
  makeUser('plain', { authorizedKeys, shell: '/bin/sh' });
  makeUser('expired', { authorizedKeys, password: 'old' });
  run('chage', ['-d', '0', 'expired']);
  makeUser('nolog', { authorizedKeys, shell: '/usr/sbin/nologin' });
  makeUser('noshell', { authorizedKeys, shell: '' });
  makeUser('hushed', { authorizedKeys, shell: '/usr/local/bin/telling-shell' });
  writeFileSync('/home/hushed/.hushlogin', '');
  makeUser('hushdir', { authorizedKeys, shell: '/usr/local/bin/telling-shell' });
  mkdirSync('/home/hushdir/.hushlogin');
  makeUser('vars', {
    authorizedKeys: [`environment="FROM_KEY=key",environment="BOTH=key" ${key.line}`],
  });
  makeUser('forced', {
    authorizedKeys: [`command="echo forced; env | grep ^SSH_O" ${key.line}`],
  });
  makeUser('fails', { authorizedKeys });
  mkdirSync('/root/.ssh', { recursive: true });
  writeFileSync('/root/.ssh/authorized_keys', `${key.line}\n`, { mode: 0o600 });
  writePamService('sshd', [
    'auth required pam_unix.so',
    'account required pam_unix.so',
    'session [success=1 default=ignore] pam_succeed_if.so quiet user != fails',
    'session required pam_echo.so file=/etc/refusal',
    'session [success=1 default=ignore] pam_succeed_if.so quiet user != fails',
    'session requisite pam_deny.so',
    'session optional pam_echo.so welcome %u',
    'session required pam_env.so conffile=/etc/pam-env.conf',
    'session required pam_unix.so',
  ]);
  writeFileSync('/etc/refusal', 'not tonight\n');
  writeFileSync(
    '/etc/pam-env.conf',
    'FROM_PAM DEFAULT=pam\nBOTH DEFAULT=pam\nSSH_CONNECTION_X DEFAULT=x\nSSH_AUTH_INFO_9 DEFAULT=x\nSSH_CLIENT DEFAULT=forged\n',
  );
  return key;
}

/** What differs between two logins, and nothing else. */
const plain = (text: string, server: TestServer): string =>
  text
    .replaceAll(new RegExp(`\\b${server.port}\\b`, 'g'), 'PORT')
    .replaceAll(/127\.0\.0\.1 \d{4,5}\b/g, '127.0.0.1 CLIENT')
    .replaceAll(/\/dev\/pts\/\d+/g, '/dev/pts/N')
    .replaceAll(/(Last login: \w{3} \w{3} [ \d]\d \d\d:)\d\d:\d\d/g, '$1MM:SS')
    // With -e what it logs in the session's process is read by the client too.
    .replaceAll(
      /^(User alice not allowed because|Too many lines in environment file) .*\r*\n/gm,
      '',
    )
    .replaceAll(/(\W_=)\/\S+/g, '$1PROGRAM');

export const tty = { args: ['-tt'] };
export const noTty = { args: ['-T'] };

/** Inside a `describe` of the lab. */
export function compareSessions(grounds: readonly Ground[]): void {
  let key: TestKey;
  before(() => {
    key = makeUsers();
  });
  const outcome = async (server: TestServer, one: Case) => {
    const { user = 'alice', options = {}, command = [] } = one;
    const { status, signal, stdout, stderr } = await ssh(
      server,
      { key, user, ...options },
      ...command,
    );
    return {
      status,
      signal,
      stdout: plain(stdout.toString('latin1'), server),
      stderr: plain(stderr, server),
    };
  };
  for (const { name, config, cases, prepare } of grounds) {
    describe(name, () => {
      let undo = (): void => undefined;
      const servers: TestServer[] = [];
      before(async () => {
        undo = prepare?.() ?? undo;
        const environment = { TZ: 'Asia/Kathmandu' };
        servers.push(
          ...(await Promise.all([
            startServer({ kind: 'sshdesk', config, environment }),
            startServer({ kind: 'sshd', config, environment }),
          ])),
        );
      });
      after(async () => {
        undo();
        await Promise.all(servers.map((server) => server.stop()));
      });
      for (const one of cases) {
        test(one.name, async () => {
          const outcomes = [];
          for (const server of servers) {
            if (one.isFirst === true) {
              truncateSync('/var/log/lastlog');
            }
            outcomes.push(await outcome(server, one));
          }
          assert.deepEqual(outcomes[0], outcomes[1]);
          assert.notEqual(outcomes[0]?.signal, 'SIGKILL', 'neither ended');
        });
      }
    });
  }
}
