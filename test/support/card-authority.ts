/** An authority of cards, as openssl makes one: certificates, revocations, and what is wrong with them. Runs in: test. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestKey } from './lab.ts';

const place = mkdtempSync('/tmp/card-authority-');
let count = 0;

export function openssl(...args: readonly string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** `2026-11-21T19:51:19Z` as openssl takes it. */
function opensslTime(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:T]|\.000|\.\d{3}/g, '');
}

export const dayMs = 86_400_000;

/** The file is PKCS #8. */
export type CardKey = TestKey;

/** As `RSA:2048`, `EC:P-256`, `ED25519`. */
export function makeCardKey(type = 'EC:P-256'): CardKey {
  const file = path.join(place, `key-${++count}`);
  const [algorithm = '', detail = ''] = type.split(':');
  const option = algorithm === 'RSA' ? `rsa_keygen_bits:${detail}` : `ec_paramgen_curve:${detail}`;
  openssl(
    ...['genpkey', '-algorithm', algorithm, '-out', file],
    ...(detail === '' ? [] : ['-pkeyopt', option]),
  );
  const publicFile = `${file}.pem`;
  writeFileSync(publicFile, openssl('pkey', '-in', file, '-pubout'));
  if (algorithm === 'ED25519') {
    return { type: 'ed25519', file, line: '' };
  }
  const line = execFileSync('ssh-keygen', ['-i', '-m', 'PKCS8', '-f', publicFile], {
    encoding: 'utf8',
  }).trim();
  return { type: algorithm, file, line };
}

export interface Wanted {
  readonly subject?: string;
  /** Lines of an extension section. */
  readonly extensions?: readonly string[];
  readonly fromMs?: number;
  readonly untilMs?: number;
  readonly digest?: string;
}

export const upn = (name: string): string =>
  `subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:${name}`;
export const forLogin = [
  'basicConstraints=CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=clientAuth,1.3.6.1.4.1.311.20.2.2',
];
const forAuthority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];

export class CardAuthority {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly #folder: string;
  readonly #config: string;

  constructor(
    name: string,
    {
      above,
      key = 'EC:P-256',
      ...wanted
    }: Wanted & { readonly above?: CardAuthority; readonly key?: string } = {},
  ) {
    this.#folder = path.join(place, `ca-${++count}`);
    mkdirSync(path.join(this.#folder, 'issued'), { recursive: true });
    this.keyFile = makeCardKey(key).file;
    this.certificateFile = path.join(this.#folder, 'ca.pem');
    this.#config = path.join(this.#folder, 'openssl.cnf');
    writeFileSync(path.join(this.#folder, 'index.txt'), '');
    writeFileSync(path.join(this.#folder, 'serial'), `4${String(count).padStart(3, '0')}00\n`);
    writeFileSync(path.join(this.#folder, 'crlnumber'), '01\n');
    writeFileSync(
      this.#config,
      [
        ...['[ca]', 'default_ca=own', '[own]', `dir=${this.#folder}`],
        ...['database=$dir/index.txt', 'new_certs_dir=$dir/issued', 'serial=$dir/serial'],
        ...['crlnumber=$dir/crlnumber', 'default_md=sha256', 'policy=any', 'unique_subject=no'],
        ...['string_mask=utf8only', 'email_in_dn=yes', 'copy_extensions=none', 'preserve=yes'],
        ...['[any]', 'C=optional', 'DC=optional', 'O=optional', 'OU=optional', 'CN=optional'],
        ...['emailAddress=optional', 'UID=optional'],
        ...['[req]', 'distinguished_name=none', '[none]', ''],
      ].join('\n'),
    );
    const subject = wanted.subject ?? `/O=Lab/CN=${name}`;
    const extensions = wanted.extensions ?? forAuthority;
    const request = this.#request(this.keyFile, subject);
    const certificate =
      above === undefined
        ? this.#issue(request, { ...wanted, extensions }, ['-selfsign', '-keyfile', this.keyFile])
        : above.#issue(request, { ...wanted, extensions });
    writeFileSync(this.certificateFile, certificate);
  }

  get certificate(): string {
    return readFileSync(this.certificateFile, 'utf8');
  }

  #request(keyFile: string, subject: string): string {
    const file = path.join(this.#folder, `request-${++count}`);
    openssl(
      ...['req', '-new', '-utf8', '-config', this.#config, '-key', keyFile],
      ...['-subj', subject, '-multivalue-rdn', '-out', file],
    );
    return file;
  }

  #issue(request: string, wanted: Wanted, by?: readonly string[]): string {
    const extensions = path.join(this.#folder, `extensions-${++count}`);
    writeFileSync(extensions, `${(wanted.extensions ?? forLogin).join('\n')}\n`);
    const now = Date.now();
    return openssl(
      ...['ca', '-batch', '-notext', '-config', this.#config, '-in', request],
      ...(by ?? ['-cert', this.certificateFile, '-keyfile', this.keyFile]),
      ...['-extfile', extensions, '-md', wanted.digest ?? 'sha256'],
      ...['-startdate', opensslTime(wanted.fromMs ?? now - dayMs)],
      ...['-enddate', opensslTime(wanted.untilMs ?? now + dayMs)],
    );
  }

  /** For a key that is here. */
  certify(key: CardKey, wanted: Wanted = {}): string {
    const subject = wanted.subject ?? '/O=Lab/CN=Alice';
    return this.#issue(this.#request(key.file, subject), wanted);
  }

  /** For a key that is on a card: of its public half. */
  certifyPublic(line: string, wanted: Wanted = {}): string {
    const sshFile = path.join(this.#folder, `public-${++count}`);
    writeFileSync(sshFile, `${line}\n`);
    const publicFile = `${sshFile}.pem`;
    writeFileSync(
      publicFile,
      execFileSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', sshFile], { encoding: 'utf8' }),
    );
    const extensions = `${sshFile}.extensions`;
    writeFileSync(extensions, `${(wanted.extensions ?? forLogin).join('\n')}\n`);
    return openssl(
      ...['x509', '-new', '-force_pubkey', publicFile, '-subj', wanted.subject ?? '/CN=Alice'],
      ...['-CA', this.certificateFile, '-CAkey', this.keyFile, '-set_serial', `0x${++count}7`],
      ...['-extfile', extensions, '-days', '1'],
    );
  }

  revoke(certificate: string): void {
    const file = path.join(this.#folder, `revoked-${++count}`);
    writeFileSync(file, certificate);
    openssl(
      ...['ca', '-config', this.#config, '-revoke', file],
      ...['-cert', this.certificateFile, '-keyfile', this.keyFile],
    );
  }

  /** The list of what was revoked, PEM. */
  list({
    fromMs = Date.now() - dayMs,
    untilMs = Date.now() + dayMs,
    digest = 'sha256',
    extensions = [],
  }: Wanted = {}): string {
    const file = path.join(this.#folder, `list-extensions-${++count}`);
    writeFileSync(
      file,
      `${readFileSync(this.#config, 'utf8')}\n[more]\n${extensions.join('\n')}\n`,
    );
    return openssl(
      ...['ca', '-gencrl', '-config', file, '-md', digest, '-crlexts', 'more'],
      ...['-cert', this.certificateFile, '-keyfile', this.keyFile],
      ...['-crl_lastupdate', opensslTime(fromMs), '-crl_nextupdate', opensslTime(untilMs)],
    );
  }
}
