/** A smart card in software (SoftHSM), with keys of every kind that cards have. Runs in: test, in the lab. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const checkout = path.resolve(import.meta.dirname, '../..');

const module = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/pkcs11/libsofthsm2.so'].find((file) =>
  existsSync(file),
);

/** Why there is none on this machine; undefined: there is. */
export function noCard(): string | undefined {
  return module === undefined || !existsSync('/usr/bin/pkcs11-tool')
    ? 'no softhsm2 and opensc, which ./setup --test installs'
    : undefined;
}

export interface FaultyCard {
  readonly module: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Which functions were called, in their order. */
  calls(): readonly string[];
}

export class Card {
  readonly module: string;
  readonly pin: string;
  /** `tokens` is in it. */
  readonly folder = mkdtempSync('/tmp/card-');

  constructor(pin = '135791') {
    this.pin = pin;
    if (module === undefined) {
      throw new Error('no SoftHSM');
    }
    this.module = module;
    mkdirSync(path.join(this.folder, 'tokens'));
    writeFileSync(
      path.join(this.folder, 'softhsm2.conf'),
      `directories.tokendir = ${this.folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    this.#run('softhsm2-util', [
      ...['--init-token', '--free', '--label', 'card'],
      ...['--pin', this.pin, '--so-pin', '2468'],
    ]);
  }

  /** With what a module finds the card. */
  get place(): Readonly<Record<string, string>> {
    return { SOFTHSM2_CONF: path.join(this.folder, 'softhsm2.conf') };
  }

  /** With what ssh finds the card, and the PIN when it asks for it (`pin`: what is typed). */
  environment(pin = this.pin): Readonly<Record<string, string>> {
    const askpass = path.join(mkdtempSync('/tmp/askpass-'), 'askpass');
    writeFileSync(askpass, `#!/bin/sh\necho asked >>${askpass}.log\necho '${pin}'\n`);
    chmodSync(askpass, 0o700);
    return {
      ...this.place,
      SSH_ASKPASS: askpass,
      SSH_ASKPASS_REQUIRE: 'force',
    };
  }

  #run(file: string, args: readonly string[]): string {
    return execFileSync(file, args, {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin', ...this.place },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30_000,
    });
  }

  #tool(...args: readonly string[]): void {
    this.#run('pkcs11-tool', [
      ...['--module', this.module, '--token-label', 'card', '--login', '--pin', this.pin],
      ...args,
    ]);
  }

  /** Made on the card; as `rsa:2048`, `EC:prime256v1`. */
  makeKey(type: string, id: string, ...options: readonly string[]): void {
    this.#tool('--keypairgen', '--key-type', type, '--id', id, '--label', `key ${id}`, ...options);
  }

  /** A key of P-256 whose public half is in a certificate only; as authorized_keys has it. */
  makeCertified(id: string, subject: string): string {
    const file = (name: string) => path.join(this.folder, `${id}.${name}`);
    this.#run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', subject, '-days', '30', '-keyout', file('key'), '-out', file('pem')],
    ]);
    this.#run('openssl', ['pkcs8', '-topk8', '-nocrypt', '-in', file('key'), '-out', file('pk8')]);
    this.#run('openssl', ['x509', '-in', file('pem'), '-outform', 'DER', '-out', file('der')]);
    this.#run('openssl', [
      ...['pkey', '-in', file('pk8'), '-outform', 'DER', '-out', file('private')],
    ]);
    const named = ['--id', id, '--label', `key ${id}`];
    this.#tool('--write-object', file('private'), '--type', 'privkey', ...named);
    this.#tool('--write-object', file('der'), '--type', 'cert', ...named);
    this.#run('chmod', ['600', file('pk8')]);
    return this.#run('ssh-keygen', ['-y', '-f', file('pk8')]).trim();
  }

  /** Pulls the card: what is open of it goes, too. */
  pull(): void {
    rmSync(path.join(this.folder, 'tokens'), { recursive: true });
  }

  /** The module of `test/lab/card_faults.c` in front of the card's own, which has the faults. */
  faulty(settings: Readonly<Record<string, string>>): FaultyCard {
    const folder = mkdtempSync('/tmp/card-faults-');
    const faultyModule = path.join(folder, 'card_faults.so');
    execFileSync('gcc', [
      ...['-shared', '-fPIC', '-I', path.join(checkout, 'node_modules/pkcs11js/includes')],
      ...['-o', faultyModule, path.join(checkout, 'test/lab/card_faults.c')],
    ]);
    const log = path.join(folder, 'log');
    return {
      module: faultyModule,
      environment: { ...this.place, CARD_MODULE: this.module, CARD_LOG: log, ...settings },
      calls: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    };
  }

  /** Lines for authorized_keys. */
  keys(): readonly string[] {
    return this.#run('ssh-keygen', ['-D', this.module])
      .split('\n')
      .filter((line) => line !== '');
  }
}
