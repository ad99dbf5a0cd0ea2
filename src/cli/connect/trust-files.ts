/**
 * The files that a client's trust and its settings are read from: bounded, regular, and never taken
 * for empty when they cannot be read. Runs in: user.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type RevokedKeys, parseRevokedKeys } from '../../../keys/revoked-keys.ts';
import { ClientFailure, type ClientFailureKind } from '../../ssh/client/failure.ts';
import { entriesOf, type KnownHostEntry, parseKnownHosts } from '../../ssh/client/known-hosts.ts';

const maxTrustBytes = 16 * 1024 * 1024;
/** Whoever adds a line just then wins, and the file is read anew. */
const maxTries = 5;

/** Whose files ssh refuses that others could have written. */
export type FileCare = 'own' | 'any';

/** Null: there is none. Throws ClientFailure of this kind with the path. */
export async function readBounded(
  path: string,
  maxBytes: number,
  kind: ClientFailureKind,
  care: FileCare = 'any',
): Promise<Buffer | null> {
  try {
    // A FIFO would wait for a writer for ever.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size, mode, uid } = await file.stat();
    const isRegular = (mode & constants.S_IFMT) === constants.S_IFREG;
    if (!isRegular) {
      if (path === '/dev/null') return Buffer.alloc(0);
      throw new ClientFailure(kind, `${path}: not a regular file`);
    }
    if (care === 'own' && (!isTrusted(uid) || (mode & 0o022) !== 0)) {
      throw new ClientFailure(kind, `${path}: others may write to it; chmod 600 it, as its owner`);
    }
    if (size > maxBytes) throw new ClientFailure(kind, `${path}: too large`);
    return await readAtMost(file, path, maxBytes, kind);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    if (error instanceof ClientFailure) throw error;
    throw new ClientFailure(kind, `${path}: ${(error as Error).message}`, { cause: error });
  }
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}

/** A file that grows while it is read has no end. */
async function readAtMost(
  file: FileHandle,
  path: string,
  maxBytes: number,
  kind: ClientFailureKind,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(64 * 1024));
    if (bytesRead === 0) return Buffer.concat(chunks);
    total += bytesRead;
    if (total > maxBytes) throw new ClientFailure(kind, `${path}: too large`);
    chunks.push(buffer.subarray(0, bytesRead));
  }
}

/** All entries of the files; a file that is missing has none, one that is unreadable may revoke. */
export async function readKnownHosts(paths: readonly string[]): Promise<KnownHostEntry[]> {
  const entries: KnownHostEntry[] = [];
  for (const path of paths) {
    const contents = await readBounded(path, maxTrustBytes, 'host-key');
    if (contents)
      for (const entry of parseKnownHosts(contents.toString(), path)) entries.push(entry);
  }
  return entries;
}

/** RevokedHostKeys: a list that is missing or broken may have named the key, so nothing is trusted. */
export async function readRevokedHostKeys(path: string): Promise<RevokedKeys> {
  const contents = await readBounded(path, maxTrustBytes, 'host-key');
  if (!contents) throw new ClientFailure('host-key', `RevokedHostKeys ${path}: no such file`);
  try {
    return parseRevokedKeys(contents);
  } catch (error) {
    throw new ClientFailure('host-key', `RevokedHostKeys ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Adds one line at the end in one write, so that of two who add at once neither is lost. */
export async function addKnownHost(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  for (let tries = 1; tries <= maxTries; tries += 1) {
    if (await isAdded(path, line)) return;
  }
  throw changesAgain(path);
}

/** False: another file has come into its place meanwhile, without the line. */
async function isAdded(path: string, line: string): Promise<boolean> {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
  await using file = await open(path, flags, 0o600);
  const found = await file.stat();
  if (!found.isFile()) throw new Error(`${path}: not a regular file`);
  const last = Buffer.alloc(1);
  if (found.size > 0) await file.read(last, 0, 1, found.size - 1);
  const separator = found.size === 0 || last[0] === 0x0a ? '' : '\n';
  await file.write(`${separator}${line}`);
  await file.sync();
  const { dev, ino } = await stat(path);
  return dev === found.dev && ino === found.ino;
}

function changesAgain(path: string): Error {
  return new Error(`${path}: is being changed by another program again and again`);
}

/** Of a file that somebody else may be adding to. */
async function identityOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

/** Takes the lines of these keys of this name out, in one step: the file is whole at every moment. */
export async function removeKnownHosts(
  path: string,
  name: string,
  blobs: readonly Buffer[],
): Promise<void> {
  const target = await realpath(path);
  for (let tries = 1; tries <= maxTries; tries += 1) {
    if (await isRemoved(target, name, blobs)) return;
  }
  throw changesAgain(path);
}

/** False: the file has changed meanwhile, and what is new in it would be lost. */
async function isRemoved(target: string, name: string, blobs: readonly Buffer[]): Promise<boolean> {
  const before = await identityOf(target);
  const contents = await readBounded(target, maxTrustBytes, 'host-key');
  const text = contents?.toString('latin1') ?? '';
  const gone = new Set(
    entriesOf(parseKnownHosts(text, target), name)
      .filter(({ marker, blob }) => marker === 'none' && blobs.some((old) => old.equals(blob)))
      .map(({ line }) => line),
  );
  if (gone.size === 0) return true;
  const kept = text.split('\n').filter((_line, at) => !gone.has(at + 1));
  const { mode } = await stat(target);
  const temporary = `${target}.${randomBytes(6).toString('hex')}`;
  try {
    await using file = await open(temporary, 'wx', mode & 0o777);
    await file.writeFile(kept.join('\n'), 'latin1');
    await file.sync();
    if ((await identityOf(target)) === before) {
      await rename(temporary, target);
      return true;
    }
    await rm(temporary);
    return false;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
