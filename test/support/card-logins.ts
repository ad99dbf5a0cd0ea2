/**
 * A server, users who have keys of one card (SoftHSM), and `sshdesk connect` with that card on a
 * terminal, for tests of logins. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Card, type FaultyCard } from './card.ts';
import { type Finished, run } from './child.ts';
import { checkout, makeUser } from './lab.ts';
import { startServer, type TestServer } from './server.ts';
import { openTerminal, type Terminal } from './terminal.ts';

export const prompt = /Enter PIN for card 'card' \(serial [0-9a-f]+\): /;
export const keyOnly = ['-o', 'PreferredAuthentications=publickey'];

type Settings = Readonly<Record<string, string>>;

export function countOf(faulty: FaultyCard, name: string): number {
  return faulty.calls().filter((call) => call === name).length;
}

export class CardLogins {
  readonly card: Card;
  readonly server: TestServer;
  /** `N.pub` in it is line N. */
  readonly folder: string;
  /** For authorized_keys: one for each of `kinds`. */
  readonly lines: readonly string[];

  /** Users `onlyN`, who have key N; `nokeys` has none, and the password `let me in`. */
  static async start(kinds: readonly string[]): Promise<CardLogins> {
    const card = new Card();
    for (const [index, kind] of kinds.entries()) card.makeKey(kind, `0${index + 1}`);
    const folder = mkdtempSync('/tmp/connect-card-');
    const listed = await listedOn(card);
    const lines = listed.stdout.trim().split('\n');
    assert.equal(lines.length, kinds.length, listed.stderr);
    for (const [index, line] of lines.entries()) {
      makeUser(`only${index}`, { authorizedKeys: [line] });
      writeFileSync(path.join(folder, `${index}.pub`), `${line}\n`);
    }
    makeUser('nokeys', { password: 'let me in' });
    const config = ['UsePAM yes', 'LogLevel VERBOSE', 'MaxAuthTries 20'];
    return new CardLogins(card, await startServer({ config }), folder, lines);
  }

  private constructor(card: Card, server: TestServer, folder: string, lines: readonly string[]) {
    this.card = card;
    this.server = server;
    this.folder = folder;
    this.lines = lines;
  }

  get provider(): readonly string[] {
    return ['--pkcs11', this.card.module];
  }

  /** Arguments that show a login: the list of desktops, which is empty. */
  words(user: string, ...rest: readonly string[]): string[] {
    return [
      ...['connect', '-F', 'none', '-o', `UserKnownHostsFile=${this.server.knownHosts}`],
      ...['-o', 'IdentityAgent=none', '-o', 'IdentityFile=none', '--list', '--json'],
      ...rest,
      `${user}@127.0.0.1:${this.server.port}`,
    ];
  }

  sshdesk(args: readonly string[], more: Settings = {}): Promise<Finished> {
    const env = { ...process.env, ...this.card.place, ...more };
    return run(path.join(checkout, 'sshdesk'), args, { env });
  }

  onTerminal(args: readonly string[], more: Settings = {}): Terminal {
    const settings = Object.entries({ ...this.card.place, ...more }).map(
      ([name, is]) => `${name}=${is}`,
    );
    const size = { rows: 24, columns: 200 };
    return openTerminal('env', [...settings, path.join(checkout, 'sshdesk'), ...args], size);
  }

  /** On a terminal, with the module of `test/lab/card_faults.c`. */
  withFaults(
    user: string,
    settings: Settings,
    ...rest: readonly string[]
  ): FaultyCard & { readonly terminal: Terminal } {
    const faulty = this.card.faulty(settings);
    const args = this.words(user, '--pkcs11', faulty.module, ...rest);
    return { ...faulty, terminal: this.onTerminal(args, faulty.environment) };
  }
}

/** What `keys list` says of a card, for authorized_keys. */
export function listedOn(card: Card): Promise<Finished> {
  const args = ['keys', 'list', '--pkcs11', card.module, '--public'];
  return run(path.join(checkout, 'sshdesk'), args, { env: { ...process.env, ...card.place } });
}
