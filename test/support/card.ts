/** A smart card in software (SoftHSM), with keys of every kind that cards have. Runs in: test, in the lab. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const module = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/pkcs11/libsofthsm2.so'].find((file) =>
  existsSync(file),
);

/** Why there is none on this machine; undefined: there is. */
export function noCard(): string | undefined {
  return module === undefined || !existsSync('/usr/bin/pkcs11-tool')
    ? 'no softhsm2 and opensc, which ./setup --test installs'
    : undefined;
}

export class Card {
  readonly module: string;
  readonly pin = '135791';
  readonly #folder = mkdtempSync('/tmp/card-');

  constructor() {
    if (module === undefined) {
      throw new Error('no SoftHSM');
    }
    this.module = module;
    mkdirSync(path.join(this.#folder, 'tokens'));
    writeFileSync(
      path.join(this.#folder, 'softhsm2.conf'),
      `directories.tokendir = ${this.#folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    this.#run('softhsm2-util', [
      ...['--init-token', '--free', '--label', 'card'],
      ...['--pin', this.pin, '--so-pin', '2468'],
    ]);
  }

  /** With what ssh finds the card, and the PIN when it asks for it (`pin`: what is typed). */
  environment(pin = this.pin): Readonly<Record<string, string>> {
    const askpass = path.join(mkdtempSync('/tmp/askpass-'), 'askpass');
    writeFileSync(askpass, `#!/bin/sh\necho asked >>${askpass}.log\necho '${pin}'\n`);
    chmodSync(askpass, 0o700);
    return {
      SOFTHSM2_CONF: path.join(this.#folder, 'softhsm2.conf'),
      SSH_ASKPASS: askpass,
      SSH_ASKPASS_REQUIRE: 'force',
    };
  }

  #run(file: string, args: readonly string[]): string {
    return execFileSync(file, args, {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin', SOFTHSM2_CONF: path.join(this.#folder, 'softhsm2.conf') },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30_000,
    });
  }

  /** Made on the card; as `rsa:2048`, `EC:prime256v1`. */
  makeKey(type: string, id: string): void {
    this.#run('pkcs11-tool', [
      ...['--module', this.module, '--token-label', 'card', '--login', '--pin', this.pin],
      ...['--keypairgen', '--key-type', type, '--id', id, '--label', `key ${id}`],
    ]);
  }

  /** Lines for authorized_keys. */
  keys(): readonly string[] {
    return this.#run('ssh-keygen', ['-D', this.module])
      .split('\n')
      .filter((line) => line !== '');
  }
}
