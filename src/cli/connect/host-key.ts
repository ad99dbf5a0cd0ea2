/**
 * The decision on a server's host key: the person's files, StrictHostKeyChecking, and at most one
 * question. Runs in: user.
 */
import { createHash } from 'node:crypto';
import { chmod, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ClientFailure } from '../../ssh/client/failure.ts';
import {
  fingerprint,
  hostKeyType,
  judgeHostKey,
  knownHostLine,
  knownHostName,
  parseKnownHosts,
} from '../../ssh/client/known-hosts.ts';
import type { HostKeyStanding, KnownHostEntry } from '../../ssh/client/known-hosts.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';

const maxFileBytes = 16 * 1024 * 1024;

/** All entries of the files; a file that is missing has none. */
export async function readKnownHosts(paths: readonly string[]): Promise<KnownHostEntry[]> {
  const entries: KnownHostEntry[] = [];
  for (const path of paths) entries.push(...parseKnownHosts(await textOf(path), path));
  return entries;
}

async function textOf(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes) throw new ClientFailure('host-key', `${path}: too large`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    if (error instanceof ClientFailure) throw error;
    // A file that cannot be read may hold a revocation: it must not count as empty.
    throw new ClientFailure('host-key', `${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Adds a line and replaces the file in one step, private to its owner. */
export async function addKnownHost(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const target = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return path;
    throw error;
  });
  const present = await textOf(target);
  const separator = present === '' || present.endsWith('\n') ? '' : '\n';
  const suffix = createHash('sha256').update(`${process.pid} ${line}`).digest('hex').slice(0, 12);
  const temporary = `${target}.${suffix}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${present}${separator}${line}`);
    await file.sync();
    await file.close();
    await chmod(temporary, 0o600);
    await rename(temporary, target);
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw error;
  }
}

export interface HostKeyVerdict {
  /** False with StrictHostKeyChecking no and a changed key: no secret may be typed then. */
  readonly mayUsePasswords: boolean;
}

export class HostKeyPolicy {
  readonly #settings: Settings;
  readonly #terminal: Terminal;
  readonly #entries: readonly KnownHostEntry[];
  readonly #name: string;

  constructor(settings: Settings, terminal: Terminal, entries: readonly KnownHostEntry[]) {
    this.#settings = settings;
    this.#terminal = terminal;
    this.#entries = entries;
    this.#name = hostKeyName(settings);
  }

  /** Throws ClientFailure `host-key` when the key is refused. */
  async verify(blob: Buffer): Promise<HostKeyVerdict> {
    const standing = judgeHostKey(this.#entries, this.#name, blob);
    switch (standing.is) {
      case 'known':
        return { mayUsePasswords: true };
      case 'revoked':
        throw refusal(
          `the host key of ${this.#name} is revoked by ${place(standing.by)}. Not connected.`,
        );
      case 'changed':
        return this.#changed(blob, standing.from);
      case 'new':
        return this.#unknown(blob, standing);
    }
  }

  #changed(blob: Buffer, from: KnownHostEntry): HostKeyVerdict {
    const text = [
      `WARNING: the host key of ${this.#name} HAS CHANGED.`,
      'Somebody may be listening in between, or the host was installed anew.',
      `The ${keyName(blob)} key it shows is ${fingerprint(blob)},`,
      `the one known from ${place(from)} is ${fingerprint(from.blob)}.`,
    ].join('\n');
    if (this.#settings.strictHostKeyChecking !== 'no') {
      throw refusal(`${text}\nNot connected. If the change is right, remove that line first.`);
    }
    this.#terminal.line(`${text}\nConnecting without passwords: StrictHostKeyChecking is no.`);
    return { mayUsePasswords: false };
  }

  async #unknown(
    blob: Buffer,
    standing: Extract<HostKeyStanding, { is: 'new' }>,
  ): Promise<HostKeyVerdict> {
    const mode = this.#settings.strictHostKeyChecking;
    const shown = `${keyName(blob)} key fingerprint is ${fingerprint(blob)}.`;
    const other = standing.others[0];
    if (mode === 'yes' || (mode === 'ask' && this.#settings.isBatch)) {
      throw refusal(`the host key of ${this.#name} is not known. ${shown} Not connected.`);
    }
    if (other && mode === 'accept-new') {
      // The host is not new: a key of another type must not pass for a first meeting.
      throw refusal(
        `${this.#name} is known by a ${keyName(other.blob)} key in ${place(other)} but shows another. ${shown} Not connected.`,
      );
    }
    if (mode === 'ask') await this.#ask(blob, shown, other);
    await this.#remember(blob);
    return { mayUsePasswords: true };
  }

  async #ask(blob: Buffer, shown: string, other: KnownHostEntry | undefined): Promise<void> {
    this.#terminal.line(`The authenticity of host '${this.#name}' can't be established.\n${shown}`);
    if (other) {
      this.#terminal.line(
        `WARNING: this host is known by a ${keyName(other.blob)} key in ${place(other)}.`,
      );
    }
    let text = 'Are you sure you want to continue connecting (yes/no/[fingerprint])? ';
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const answers = await this.#terminal.ask([{ text, isEchoed: true }]);
      const answer = answers?.[0]?.trim();
      if (answer === undefined || answer.toLowerCase() === 'no') break;
      if (answer.toLowerCase() === 'yes' || answer === fingerprint(blob)) return;
      text = "Please type 'yes', 'no' or the fingerprint: ";
    }
    throw refusal('Host key verification failed.');
  }

  async #remember(blob: Buffer): Promise<void> {
    const path = this.#settings.userKnownHosts[0];
    if (path === undefined || path === '/dev/null') return;
    const line = knownHostLine(this.#name, blob, this.#settings.isHashed);
    try {
      await addKnownHost(path, line);
      this.#terminal.line(
        `Warning: Permanently added '${this.#name}' (${keyName(blob)}) to the list of known hosts.`,
      );
    } catch (error) {
      this.#terminal.line(`Warning: the key was not kept: ${(error as Error).message}`);
    }
  }
}

/** The name under which the host of these settings is known. */
export function hostKeyName(settings: Settings): string {
  return settings.hostKeyAlias?.toLowerCase() ?? knownHostName(settings.host, settings.port);
}

function refusal(text: string): ClientFailure {
  return new ClientFailure('host-key', text);
}

function place(entry: KnownHostEntry): string {
  return `${entry.source}:${entry.line}`;
}

function keyName(blob: Buffer): string {
  const type = hostKeyType(blob);
  if (type === 'ssh-rsa') return 'RSA';
  return type.startsWith('ecdsa-') ? 'ECDSA' : type.replace(/^ssh-/, '').toUpperCase();
}
