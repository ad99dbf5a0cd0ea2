/**
 * The lab from the side of a test: a file re-executes itself in it, makes users, PAM services and
 * the test module. Runs in: test, as root, in the namespaces of `test/lab/lab.sh`.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const checkout = path.resolve(import.meta.dirname, '../..');
const labScript = path.join(checkout, 'test/lab/lab.sh');

/** What `describe` takes: skipped with a reason where the lab cannot be had. */
export interface LabOptions {
  readonly skip: string | false;
  readonly timeout: number;
  readonly concurrency: number;
}

/**
 * First statement of a test file that needs the lab: outside it the whole file runs again inside
 * and this call does not return. Give the result to the outermost `describe`.
 */
export function inLab(moduleUrl: string, timeoutMs = 110_000): LabOptions {
  const options = { timeout: timeoutMs, concurrency: 1 };
  if (process.env.SSHDESK_LAB === 'inside') {
    return { ...options, skip: false };
  }
  if (process.getuid?.() !== 0) {
    return { ...options, skip: 'needs root: namespaces, accounts and PAM stacks of its own' };
  }
  const outcome = spawnSync(
    labScript,
    [process.execPath, ...process.execArgv, fileURLToPath(moduleUrl), ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        LAB_KEEP: path.dirname(process.execPath),
        PATH: `${path.dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      },
    },
  );
  if (outcome.error !== undefined) {
    throw outcome.error;
  }
  process.exit(outcome.status ?? 1);
}

/** Runs a program that must succeed; its output as text. */
export function run(file: string, args: readonly string[], input?: string): string {
  return execFileSync(file, args, {
    encoding: 'utf8',
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: 30_000,
    ...(input === undefined ? {} : { input }),
  });
}

export interface LabUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export interface UserOptions {
  readonly password?: string;
  readonly shell?: string;
  readonly groups?: readonly string[];
  /** Lines of ~/.ssh/authorized_keys. */
  readonly authorizedKeys?: readonly string[];
}

/** An account with a home; without a password its shadow entry is `*` (no password can match). */
export function makeUser(name: string, options: UserOptions = {}): LabUser {
  const args = ['-m', '-s', options.shell ?? '/bin/bash'];
  if (options.groups !== undefined) {
    args.push('-G', options.groups.join(','));
  }
  run('useradd', [...args, name]);
  if (options.password === undefined) {
    run('usermod', ['-p', '*', name]);
  } else {
    setPassword(name, options.password);
  }
  const user = findUser(name);
  if (options.authorizedKeys !== undefined) {
    authorize(user, options.authorizedKeys);
  }
  return user;
}

export function findUser(name: string): LabUser {
  const [, , uid, gid, , home] = run('getent', ['passwd', name]).trim().split(':');
  return { name, uid: Number(uid), gid: Number(gid), home: home as string };
}

export function setPassword(name: string, password: string): void {
  const hash = run('openssl', ['passwd', '-6', '-stdin'], `${password}\n`).trim();
  run('usermod', ['-p', hash, name]);
}

/** Writes ~/.ssh/authorized_keys of `user`, with the modes that StrictModes wants. */
export function authorize(user: LabUser, lines: readonly string[]): void {
  const folder = path.join(user.home, '.ssh');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  chownSync(folder, user.uid, user.gid);
  const file = path.join(folder, 'authorized_keys');
  writeFileSync(file, `${lines.join('\n')}\n`);
  chmodSync(file, 0o600);
  chownSync(file, user.uid, user.gid);
}

export interface TestKey {
  readonly type: string;
  readonly file: string;
  /** The line of the .pub file. */
  readonly line: string;
}

/** A key pair made by ssh-keygen in a directory of its own. */
export function makeKey(type: 'ed25519' | 'ecdsa' | 'rsa', bits?: number): TestKey {
  const folder = mkdtempSync('/tmp/key-');
  const file = path.join(folder, `id_${type}`);
  const size = bits === undefined ? [] : ['-b', String(bits)];
  run('ssh-keygen', ['-q', '-t', type, ...size, '-N', '', '-C', `${type}@test`, '-f', file]);
  return { type, file, line: readFileSync(`${file}.pub`, 'utf8').trim() };
}

/** Builds the test PAM module with the machine's C compiler; path of the object. */
export function buildPamLab(): string {
  const object = '/tmp/pam_lab.so';
  if (!existsSync(object)) {
    run('cc', [
      ...['-Wall', '-Wextra', '-Werror', '-O1', '-shared', '-fPIC', '-o', object],
      ...[path.join(checkout, 'test/lab/pam_lab.c'), '-lpam'],
    ]);
  }
  return object;
}

/** Writes /etc/pam.d/NAME; `@lab` at the place of a module stands for the test module. */
export function writePamService(name: string, lines: readonly string[]): void {
  const module = lines.some((line) => line.includes('@lab')) ? buildPamLab() : '';
  writeFileSync(
    `/etc/pam.d/${name}`,
    `${lines.map((line) => line.replace('@lab', module)).join('\n')}\n`,
  );
}
