/**
 * A Kerberos realm: MIT's KDC on the loopback of the lab, principals, a keytab for this host, caches
 * of tickets. Runs in: test, in the lab.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { eventually } from './child.ts';
import { checkout } from './lab.ts';

const kdcProgram = '/usr/sbin/krb5kdc';

/** Why there can be none on this machine; undefined: there can. */
export function noRealm(): string | undefined {
  return existsSync(kdcProgram) ? undefined : 'no krb5-kdc, which ./setup --test installs';
}

/** Debian's module, which is not installed; undefined: it was not fetched. */
export function pamKrb5(): string | undefined {
  const lib = path.join(checkout, 'node_modules/.sshdesk-pam-krb5/lib');
  const places = existsSync(lib) ? readdirSync(lib) : [];
  return places
    .map((place) => path.join(lib, place, 'security/pam_krb5.so'))
    .find((file) => existsSync(file));
}

export interface RealmOptions {
  readonly name?: string;
  /** What this host is called from then on; default server.NAME. */
  readonly host?: string;
  readonly port?: number;
  /** Lines of [libdefaults]. */
  readonly defaults?: readonly string[];
  /** A second realm of the lab: this host is not one of its own. */
  readonly isElsewhere?: boolean;
}

export interface TicketOptions {
  readonly forwardable?: boolean;
  /** As kinit's -l and -r. */
  readonly lifetime?: string;
  readonly renewable?: string;
}

async function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

export class Realm {
  readonly name: string;
  /** The fully qualified name of this host in it. */
  readonly host: string;
  readonly #folder = mkdtempSync('/tmp/realm-');
  readonly #port: number;
  #kdc: ChildProcess | undefined;

  private constructor({ name = 'LAB.TEST', host, port = 8888 }: RealmOptions) {
    this.name = name;
    this.host = host ?? `server.${name.toLowerCase()}`;
    this.#port = port;
  }

  /** Also names this host, and writes /etc/krb5.conf, which belong to the lab. */
  static async start(options: RealmOptions = {}): Promise<Realm> {
    const realm = new Realm(options);
    const isHere = options.isElsewhere !== true;
    if (isHere) realm.#nameHost(options.defaults ?? []);
    else realm.#addToConfiguration();
    realm.#configureKdc();
    realm.#run('kdb5_util', ['create', '-r', realm.name, '-s', '-P', 'master']);
    realm.#kdc = spawn(kdcProgram, ['-n', '-r', realm.name], {
      env: realm.#environment,
      stdio: 'ignore',
    });
    if (isHere) realm.addService(`host/${realm.host}`);
    await eventually('the KDC listens', () => listens(realm.#port));
    return realm;
  }

  get #environment(): NodeJS.ProcessEnv {
    return {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      KRB5_KDC_PROFILE: path.join(this.#folder, 'kdc.conf'),
    };
  }

  #run(file: string, args: readonly string[], input = ''): string {
    return execFileSync(file, args, {
      encoding: 'utf8',
      env: this.#environment,
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 30_000,
    });
  }

  #addToConfiguration(): void {
    const kdc = `  ${this.name} = {\n    kdc = 127.0.0.1:${this.#port}\n  }\n`;
    const before = readFileSync('/etc/krb5.conf', 'utf8');
    writeFileSync('/etc/krb5.conf', before.replace('[domain_realm]', `${kdc}[domain_realm]`));
  }

  #nameHost(defaults: readonly string[]): void {
    const domain = this.name.toLowerCase();
    execFileSync('hostname', [this.host]);
    writeFileSync('/etc/hosts', `127.0.0.1 ${this.host} localhost\n::1 localhost\n`);
    writeFileSync(
      '/etc/krb5.conf',
      `[libdefaults]
  default_realm = ${this.name}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  forwardable = true
${defaults.map((line) => `  ${line}\n`).join('')}[realms]
  ${this.name} = {
    kdc = 127.0.0.1:${this.#port}
  }
[domain_realm]
  .${domain} = ${this.name}
  ${this.host} = ${this.name}
`,
    );
  }

  #configureKdc(): void {
    mkdirSync(path.join(this.#folder, 'db'));
    writeFileSync(
      path.join(this.#folder, 'kdc.conf'),
      `[kdcdefaults]
  kdc_listen = 127.0.0.1:${this.#port}
  kdc_tcp_listen = 127.0.0.1:${this.#port}
[realms]
  ${this.name} = {
    database_name = ${this.#folder}/db/principal
    key_stash_file = ${this.#folder}/db/stash
    max_life = 10h
    max_renewable_life = 7d
  }
`,
    );
  }

  #admin(query: string): void {
    this.#run('kadmin.local', ['-r', this.name, '-q', query]);
  }

  addUser(name: string, password: string): void {
    this.#admin(`addprinc -pw ${password} ${name}`);
  }

  /** Users of `other` get tickets for services of this realm. */
  trust(other: Realm): void {
    for (const realm of [this, other]) {
      realm.#admin(`addprinc -pw between-them krbtgt/${this.name}@${other.name}`);
    }
  }

  /** Its key goes into the keytab of this host. */
  addService(principal: string, keytab = '/etc/krb5.keytab'): void {
    this.#admin(`addprinc -randkey ${principal}`);
    this.#admin(`ktadd -k ${keytab} ${principal}`);
  }

  /** A cache with tickets of `name`, for KRB5CCNAME. */
  tickets(name: string, password: string, options: TicketOptions = {}): string {
    const cache = `FILE:${path.join(mkdtempSync('/tmp/tickets-'), 'cache')}`;
    const flags = [
      options.forwardable === false ? '-F' : '-f',
      ...(options.lifetime === undefined ? [] : ['-l', options.lifetime]),
      ...(options.renewable === undefined ? [] : ['-r', options.renewable]),
    ];
    this.#run('kinit', ['-c', cache, ...flags, `${name}@${this.name}`], `${password}\n`);
    return cache;
  }

  keytab(): Buffer {
    return readFileSync('/etc/krb5.keytab');
  }

  /** Options of ssh(1) for a login with tickets to a server of the test. */
  clientArguments(port: number): readonly string[] {
    return [
      ...['-o', `HostName=${this.host}`, '-o', `HostKeyAlias=[127.0.0.1]:${port}`],
      ...['-o', 'PreferredAuthentications=gssapi-with-mic', '-o', 'GSSAPIAuthentication=yes'],
    ];
  }

  async stop(): Promise<void> {
    const kdc = this.#kdc;
    if (kdc !== undefined && kdc.exitCode === null && kdc.signalCode === null) {
      const ended = new Promise((resolve) => kdc.once('exit', resolve));
      kdc.kill('SIGTERM');
      await ended;
    }
  }
}
