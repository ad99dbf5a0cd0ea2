/**
 * Keeps the keys of a host that was known by a line of the user's own (UpdateHostKeys of
 * ssh_config(5)). Never fails a session. Runs in: user.
 */
import {
  areProven,
  changeOf,
  type HostKeyChange,
  type Prover,
} from '../../ssh/client/host-key-update.ts';
import type { HostTrust } from '../../ssh/client/host-trust.ts';
import { judgeHostKey } from '../../ssh/client/host-trust.ts';
import { fingerprint, knownHostLine } from '../../ssh/client/known-hosts.ts';
import { hostKeyName } from './host-key.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';
import { addKnownHost, readKnownHosts, removeKnownHosts } from './trust-files.ts';

export async function updateHostKeys(
  prover: Prover,
  announced: readonly Buffer[],
  settings: Settings,
  trust: HostTrust,
  terminal: Terminal,
): Promise<void> {
  const name = hostKeyName(settings);
  try {
    const change = changeOf(await readKnownHosts(settings.userKnownHosts), name, announced);
    if (!change || change.learned.some((blob) => isRevoked(trust, blob))) return;
    if (settings.updateHostKeys === 'ask') {
      terminal.line(told(name, change));
    } else if (change.learned.length === 0 || (await areProven(prover, change.learned))) {
      await write(settings, name, change);
    }
  } catch (error) {
    terminal.line(`Warning: the keys of ${name} were not kept: ${(error as Error).message}`);
  }
}

function isRevoked(trust: HostTrust, blob: Buffer): boolean {
  return judgeHostKey(trust, blob, Date.now()).standing.is === 'revoked';
}

/** There may be a program on the terminal by now: nothing is asked. */
function told(name: string, { learned, forgotten }: HostKeyChange): string {
  const lines = [
    ...learned.map((blob) => `  new: ${fingerprint(blob)}`),
    ...forgotten.map(({ blob }) => `  gone: ${fingerprint(blob)}`),
  ];
  return `${name} says that its keys have changed; UpdateHostKeys=yes keeps that:\n${lines.join('\n')}`;
}

/** First what is new: whoever is interrupted knows more keys than there are, not fewer. */
async function write(settings: Settings, name: string, change: HostKeyChange): Promise<void> {
  const [path] = settings.userKnownHosts;
  if (path === undefined) return;
  const lines = change.learned.map((blob) => knownHostLine(name, blob, settings.isHashed));
  if (lines.length > 0) await addKnownHost(path, lines.join(''));
  for (const source of new Set(change.forgotten.map((entry) => entry.source))) {
    const blobs = change.forgotten.filter((entry) => entry.source === source);
    await removeKnownHosts(
      source,
      name,
      blobs.map(({ blob }) => blob),
    );
  }
}
