/**
 * The decision on a server's host key or certificate: the person's files, StrictHostKeyChecking, and
 * at most one question. Runs in: user.
 */
import { parsePublicKey } from '../../../keys/public-key.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import {
  type HostKeyStanding,
  type HostTrust,
  judgeHostKey,
  linesAbout,
} from '../../ssh/client/host-trust.ts';
import {
  fingerprint,
  hostKeyType,
  type KnownHostEntry,
  knownHostLine,
  knownHostName,
} from '../../ssh/client/known-hosts.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';
import { addKnownHost, readKnownHosts, readRevokedHostKeys } from './trust-files.ts';

/** Reads all that says something about the host. Throws ClientFailure `host-key`. */
export async function readHostTrust(settings: Settings): Promise<HostTrust> {
  const entries = await readKnownHosts([...settings.userKnownHosts, ...settings.globalKnownHosts]);
  const { revokedHostKeys: place, hostKeyAlias } = settings;
  const name = hostKeyName(settings);
  const plain = settings.host.toLowerCase();
  return {
    ...linesAbout(entries, hostKeyAlias === null && name !== plain ? [name, plain] : [name]),
    lists: place === null ? [] : [{ place, keys: await readRevokedHostKeys(place) }],
    principal: hostKeyAlias?.toLowerCase() ?? plain,
    authorityAlgorithms: settings.authorityAlgorithms,
  };
}

export interface HostKeyVerdict {
  /** False with StrictHostKeyChecking no and a changed key: no secret may be typed then. */
  readonly mayUsePasswords: boolean;
  /** The key stands in a file of the user's, by itself: the server may name its others. */
  readonly mayUpdate: boolean;
}

const trusted: HostKeyVerdict = { mayUsePasswords: true, mayUpdate: false };

export class HostKeyPolicy {
  readonly #settings: Settings;
  readonly #terminal: Terminal;
  readonly #trust: HostTrust;
  readonly #name: string;

  constructor(settings: Settings, terminal: Terminal, trust: HostTrust) {
    this.#settings = settings;
    this.#terminal = terminal;
    this.#trust = trust;
    this.#name = hostKeyName(settings);
  }

  /** Of a key or a certificate. Throws ClientFailure `host-key` when it is refused. */
  async verify(presented: Buffer): Promise<HostKeyVerdict> {
    const { standing, plain, objection } = judgeHostKey(this.#trust, presented, Date.now());
    this.#refuseShort(plain);
    // A known key needs no certificate, and what is wrong with one is the server's affair then.
    if (objection !== undefined && standing.is !== 'known') {
      this.#terminal.line(`The host certificate of ${this.#name} does not count: ${objection}.`);
    }
    switch (standing.is) {
      case 'known':
        return { ...trusted, mayUpdate: standing.isExact && this.#isOwn(standing.by.source) };
      case 'certified':
        return trusted;
      case 'revoked':
        throw refusal(
          `${standing.what} of ${this.#name} is revoked by ${standing.by}. Not connected.`,
        );
      case 'changed':
        return this.#changed(plain, standing.from);
      case 'new':
        return this.#unknown(plain, standing);
    }
  }

  #refuseShort(plain: Buffer): void {
    const parsed = parsePublicKey(plain);
    const { requiredRsaBits } = this.#settings;
    if (parsed.ok && parsed.key.type === 'ssh-rsa' && parsed.key.bits < requiredRsaBits) {
      throw refusal(
        `the RSA host key of ${this.#name} has ${parsed.key.bits} bits, and RequiredRSASize is ${requiredRsaBits}. Not connected.`,
      );
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
      const remedy = `ssh-keygen -f ${quoted(from.source)} -R ${quoted(this.#name)}`;
      throw refusal(
        `${text}\nNot connected. Ask whoever runs the host; if the change is right, forget the old key:\n  ${remedy}`,
      );
    }
    this.#terminal.line(`${text}\nConnecting without passwords: StrictHostKeyChecking is no.`);
    return { mayUsePasswords: false, mayUpdate: false };
  }

  async #unknown(
    blob: Buffer,
    standing: Extract<HostKeyStanding, { is: 'new' }>,
  ): Promise<HostKeyVerdict> {
    const mode = this.#settings.strictHostKeyChecking;
    const shown = `${keyName(blob)} key fingerprint is ${fingerprint(blob)}.`;
    const other = standing.others[0];
    if (mode === 'yes' || (mode === 'ask' && this.#settings.isBatch)) {
      const why = mode === 'yes' ? 'StrictHostKeyChecking is yes' : 'nobody may be asked';
      throw refusal(
        `the host key of ${this.#name} is not known, and ${why}. ${shown} Not connected.`,
      );
    }
    if (other && mode === 'accept-new') {
      // The host is not new: a key of another type must not pass for a first meeting.
      throw refusal(
        `${this.#name} is known by a ${keyName(other.blob)} key in ${place(other)} but shows another. ${shown} Not connected.`,
      );
    }
    if (mode === 'ask') await this.#ask(blob, shown, other);
    return { ...trusted, mayUpdate: await this.#remember(blob) };
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

  #isOwn(source: string): boolean {
    return this.#settings.userKnownHosts.includes(source);
  }

  async #remember(blob: Buffer): Promise<boolean> {
    const path = this.#settings.userKnownHosts[0];
    if (path === undefined || path === '/dev/null') return false;
    const line = knownHostLine(this.#name, blob, this.#settings.isHashed);
    try {
      await addKnownHost(path, line);
      this.#terminal.line(
        `Warning: Permanently added '${this.#name}' (${keyName(blob)}) to the list of known hosts.`,
      );
      return true;
    } catch (error) {
      this.#terminal.line(`Warning: the key was not kept: ${(error as Error).message}`);
      return false;
    }
  }
}

/** The name under which the host of these settings is known. */
export function hostKeyName(settings: Settings): string {
  return settings.hostKeyAlias?.toLowerCase() ?? knownHostName(settings.host, settings.port);
}

/** For a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
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
