/** What `sshdesk keys add` does: whose file it is, the process that writes as that user, what is said. Runs in: user. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AddedKey } from '../../../keys/authorized-keys-addition.ts';
import { fingerprint, publicLine } from '../../../keys/public-key.ts';
import { ConfigError } from '../../base/errors.ts';
import { printableLine } from '../connect/printable.ts';
import { account, type InvokingUser } from '../start/invoking-user.ts';
import type { AddAnswer, AddRequest } from './add-process.ts';
import type { OfferedKey } from './offered-keys.ts';

const program = fileURLToPath(new URL('add-process.ts', import.meta.url));
const patienceMs = 30_000;
const maxAnswerBytes = 1024 * 1024;

/** Throws ConfigError: there is no such account, or it is not this caller's. */
export function ownerOf(name: string | undefined): InvokingUser {
  const ownUid = process.getuid?.() ?? 0;
  if (name === undefined && ownUid === 0) {
    throw new ConfigError('whose? sshdesk keys add USER');
  }
  let user: InvokingUser;
  try {
    user = account(name ?? String(ownUid));
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
  if (name !== undefined && user.name !== name) {
    throw new ConfigError(`there is no account ${name}`);
  }
  if (ownUid !== 0 && user.uid !== ownUid) {
    throw new ConfigError(`only root adds keys of others, and ${user.name} is another`);
  }
  return user;
}

/** The child is `user` before it runs anything; nobody's environment, no groups of root's. */
async function askProcess(user: InvokingUser, request: AddRequest): Promise<AddAnswer> {
  const isRoot = process.getuid?.() === 0;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', HOME: user.home, LANG: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: patienceMs,
    killSignal: 'SIGKILL',
    ...(isRoot ? { uid: user.uid, gid: user.gid } : {}),
  });
  const chunks = { out: [] as Buffer[], err: [] as Buffer[] };
  let bytes = 0;
  const collect = (into: Buffer[]) => (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxAnswerBytes) into.push(chunk);
  };
  child.stdout.on('data', collect(chunks.out));
  child.stderr.on('data', collect(chunks.err));
  // It may have ended already; how it ended says more.
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(request));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (status !== 0) {
    const said = Buffer.concat(chunks.err).toString('utf8').trim().split('\n').at(-1) ?? '';
    throw new ConfigError(`the process of ${user.name} ended with ${status}: ${said}`);
  }
  return JSON.parse(Buffer.concat(chunks.out).toString('utf8')) as AddAnswer;
}

export interface AddedLine extends AddedKey {
  readonly key: OfferedKey;
}

export interface Added {
  readonly file: string;
  readonly lines: readonly AddedLine[];
}

/** Rejects with ConfigError: nothing was changed. */
export async function addKeys(
  user: InvokingUser,
  keys: readonly OfferedKey[],
  options: string,
): Promise<Added> {
  const answer = await askProcess(user, {
    uid: user.uid,
    home: user.home,
    keys: keys.map(({ blob, comment }) => ({ blob: blob.toString('base64'), comment, options })),
  });
  if (!answer.ok) throw new ConfigError(answer.reason);
  const lines = answer.keys.map((added, index) => ({ ...added, key: keys[index] as OfferedKey }));
  return { file: answer.file, lines };
}

/** File and options are as somebody else has them in his home, and root may be reading this. */
function sentence({ state, line, options: there, key }: AddedLine, file: string): string {
  const place = `${printableLine(file)}:${line}`;
  const options = printableLine(there);
  const name = `${publicLine(key.blob).split(' ', 1).join('')} ${fingerprint(key.blob)}`;
  switch (state) {
    case 'added':
      return `${place}: added ${name}`;
    case 'present':
      return `${place}: ${name} is there already`;
    case 'different':
      return `${place}: ${name} is there with other options (${options === '' ? 'none' : options}); change that line by hand`;
  }
}

export function describe({ file, lines }: Added): string {
  return lines.map((line) => `${sentence(line, file)}\n`).join('');
}

export function json(user: InvokingUser, { file, lines }: Added): string {
  const rows = lines.map(({ state, line, options, key }) => ({
    user: user.name,
    file,
    line,
    state,
    options,
    fingerprint: fingerprint(key.blob),
    publicKey: publicLine(key.blob),
  }));
  return `${JSON.stringify(rows, undefined, 2)}\n`;
}
