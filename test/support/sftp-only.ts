/**
 * Places for ChrootDirectory below /var, and what is in them; sftp asked the same of sshdesk and of
 * Debian's sshd. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { BothServers } from './both-servers.ts';
import { type LabUser, run, type TestKey } from './lab.ts';
import type { TestServer } from './server.ts';
import { type ClientOutcome, copy } from './stock-client.ts';

/** The roots of the users lie here, one each. */
export const sftpRoots = '/var/sftp';

/** An empty root of root's with one folder of the user's in it. */
export function makeRoot(user: LabUser): string {
  const root = path.join(sftpRoots, user.name);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(path.join(root, 'files'), { recursive: true, mode: 0o755 });
  for (const folder of [sftpRoots, root]) {
    chownSync(folder, 0, 0);
    chmodSync(folder, 0o755);
  }
  chownSync(path.join(root, 'files'), user.uid, user.gid);
  return root;
}

const busybox = '/bin/busybox';
const applets = [
  'sh',
  'cat',
  'echo',
  'env',
  'id',
  'ls',
  'pwd',
  'tty',
  'readlink',
  'sleep',
  'nc',
  'mkdir',
];

/** A root with a static shell, a home of the user's and nothing else. */
export function makeJail(user: LabUser): string {
  const root = path.join('/var/jail', user.name);
  rmSync(root, { recursive: true, force: true });
  for (const folder of ['bin', 'tmp', 'etc/ssh', `home/${user.name}/.ssh`]) {
    mkdirSync(path.join(root, folder), { recursive: true, mode: 0o755 });
  }
  chmodSync(path.join(root, 'tmp'), 0o1777);
  for (const folder of [`home/${user.name}`, `home/${user.name}/.ssh`]) {
    chownSync(path.join(root, folder), user.uid, user.gid);
  }
  copyFileSync(busybox, path.join(root, 'bin/busybox'));
  for (const name of applets) {
    linkSync(path.join(root, 'bin/busybox'), path.join(root, 'bin', name));
  }
  return root;
}

/** Everything below a folder: type, mode, owner, target, size. */
export function treeOf(folder: string): string {
  const lines = run('find', [folder, '-printf', '%P %y %m %U:%G %l %s\n']).split('\n');
  return lines.toSorted().join('\n');
}

export async function sftp(
  server: TestServer,
  user: LabUser,
  key: TestKey,
  batch: readonly string[],
): Promise<ClientOutcome> {
  const options = { user: user.name, key, input: `${batch.join('\n')}\n`, args: ['-b', '-'] };
  return await copy('sftp', server, options, `${user.name}@127.0.0.1`);
}

export interface Done {
  readonly status: number | null;
  readonly text: string;
  readonly stderr: string;
  /** Of the root, afterwards. */
  readonly tree: string;
}

/** The same batch in the same root by both: what is said and what is left has to be the same. */
export async function both(
  servers: BothServers,
  user: LabUser,
  key: TestKey,
  batch: readonly string[],
  prepare: (root: string) => void = () => {},
): Promise<Done> {
  const done: Done[] = [];
  for (const server of [servers.theirs, servers.ours]) {
    const root = makeRoot(user);
    prepare(root);
    const { status, text, stderr } = await sftp(server, user, key, batch);
    // Times differ; and that its files are the user's own, sshd says by the number.
    const said = text
      .replaceAll(/[A-Z][a-z]{2} +\d+ +\d+:\d\d/g, 'TIME')
      .replaceAll(/\? (\S+) +(\S+) +/g, (_whole, owner: string, group: string) => {
        return `? ${owner === String(user.uid) ? user.name : owner} ${group} `;
      });
    done.push({ status, text: said, stderr, tree: treeOf(root) });
  }
  const [theirs, ours] = done as [Done, Done];
  assert.deepEqual(ours, theirs);
  return ours;
}

export function put(file: string, content: string | Buffer, user?: LabUser): void {
  writeFileSync(file, content);
  if (user !== undefined) {
    chownSync(file, user.uid, user.gid);
  }
}
