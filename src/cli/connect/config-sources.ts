/**
 * The files of ssh_config(5): the one that is named, and those of an Include. Runs in: user.
 */
import { glob } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { ConfigSource } from '../../ssh/client/config-file.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { type FileCare, readBounded } from './trust-files.ts';

const maxConfigBytes = 1024 * 1024;
/** Of one pattern. */
const maxIncludedFiles = 1024;

/** Null: there is none. */
export async function readConfig(
  path: string,
  care: FileCare = 'any',
): Promise<ConfigSource | null> {
  const contents = await readBounded(path, maxConfigBytes, 'usage', care);
  return contents && { path, text: contents.toString() };
}

/** Relative patterns are below ~/.ssh, or /etc/ssh in the system's file (ssh_config(5)). */
export async function readIncluded(
  pattern: string,
  base: string,
  care: FileCare,
): Promise<ConfigSource[]> {
  const absolute = isAbsolute(pattern) ? pattern : join(base, pattern);
  const paths: string[] = [];
  for await (const path of glob(absolute)) {
    if (paths.length >= maxIncludedFiles) throw new ClientFailure('usage', `${absolute}: too many`);
    paths.push(path);
  }
  const sources: ConfigSource[] = [];
  for (const path of paths.sort()) {
    const source = await readConfig(path, care);
    if (source) sources.push(source);
  }
  return sources;
}
