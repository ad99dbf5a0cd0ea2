/**
 * What one run of `connect` is to do: command line, then `-o`, then the person's ssh_config, then
 * the system's, the first value of each winning, as for ssh. Runs in: user.
 */
import { homedir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { CardProcess } from '../../../keys/pkcs11/card-start.ts';
import { anyModule } from '../../../keys/pkcs11/known-modules.ts';
import { ConfigError } from '../../base/errors.ts';
import { applyConfig } from '../../ssh/client/config-file.ts';
import type { ConfigSource, ConfigTarget } from '../../ssh/client/config-file.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ClientOffer } from '../../ssh/client/agreement.ts';
import { type AlgorithmOption, algorithmsOf } from '../../ssh/client/algorithm-options.ts';
import { OptionCollector, expandTokens, splitOption } from '../../ssh/client/options.ts';
import type { OptionName, Tokens } from '../../ssh/client/options.ts';
import { jumpOf, type SshArguments } from './ssh-arguments.ts';
import type { ForwardSettings } from './forwards.ts';
import { forwardSettings, type ProgramSettings, programSettings } from './session-settings.ts';
import { parsePort, parseTarget } from './target.ts';
import { readConfig, readIncluded } from './config-sources.ts';
import type { FileCare } from './trust-files.ts';

export type AgentForwarding =
  | { readonly is: 'off' }
  | { readonly is: 'to'; readonly path: string }
  /** Asked for, and there is none. */
  | { readonly is: 'missing' };

export interface Settings {
  /** What is dialled. */
  readonly host: string;
  /** What the person wrote, for messages. */
  readonly originalHost: string;
  readonly port: number;
  readonly user: string;
  readonly hostKeyAlias: string | null;
  readonly identityFiles: readonly { readonly path: string; readonly isExplicit: boolean }[];
  /** Certificates of keys that are in files or in the agent. */
  readonly certificateFiles: readonly string[];
  readonly isIdentitiesOnly: boolean;
  /** A socket's path; null: no agent. */
  readonly agentPath: string | null;
  readonly agentForwarding: AgentForwarding;
  readonly userKnownHosts: readonly string[];
  readonly globalKnownHosts: readonly string[];
  readonly strictHostKeyChecking: 'yes' | 'ask' | 'accept-new' | 'no';
  readonly isHashed: boolean;
  /** Of a host that is known by a line of the user's: whether its other keys are kept. */
  readonly updateHostKeys: 'yes' | 'no' | 'ask';
  /** A list of keys or of ssh-keygen -k; null: none. */
  readonly revokedHostKeys: string | null;
  /** Bits that an RSA host key has at least. */
  readonly requiredRsaBits: number;
  /** What an authority of hosts may sign with. */
  readonly authorityAlgorithms: readonly string[];
  readonly offer: ClientOffer;
  /** The host key algorithms are a list of the person's own, whose order stays. */
  readonly isHostKeyOrderKept: boolean;
  /** How the last host of ProxyJump is reached; null: there is none in between. */
  readonly jump: SshArguments | null;
  readonly methods: readonly string[];
  readonly gssapiAuthentication: boolean;
  readonly gssapiDelegateCredentials: boolean;
  readonly cardProcess: CardProcess | undefined;
  /** A module's path, or `anyModule`; null: none. */
  readonly pkcs11Provider: string | null;
  readonly promptAttempts: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveCountMax: number;
  readonly connectTimeoutMs: number;
  readonly family: 0 | 4 | 6;
  readonly isBatch: boolean;
  readonly forwarding: ForwardSettings;
  readonly program: ProgramSettings;
  /** Names of options that were given and have no effect here. */
  readonly ignored: readonly string[];
}

export interface Surroundings {
  readonly home: string;
  readonly localUser: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly systemConfig: string;
}

/** The home is the account's and not $HOME's, as for ssh: `sudo` must not lend another's keys. */
export function surroundings(environment: NodeJS.ProcessEnv): Surroundings {
  const account = userInfo();
  return {
    home: account.homedir || homedir(),
    localUser: account.username,
    environment,
    systemConfig: '/etc/ssh/ssh_config',
  };
}

const defaultIdentities = ['id_rsa', 'id_ecdsa', 'id_ed25519'];
const preferredMethods = 'gssapi-with-mic,publickey,keyboard-interactive,password';

/** Throws ClientFailure `usage` for a wrong option or file. */
export async function readSettings(given: SshArguments, around: Surroundings): Promise<Settings> {
  try {
    return await new SettingsReader(given, around).read();
  } catch (error) {
    if (error instanceof ConfigError) throw new ClientFailure('usage', error.detail);
    throw error;
  }
}

class SettingsReader {
  readonly #given: SshArguments;
  readonly #around: Surroundings;
  readonly #options = new OptionCollector();
  readonly #ignored: string[] = [];
  #wantsFinalPass = false;

  constructor(given: SshArguments, around: Surroundings) {
    this.#given = given;
    this.#around = around;
  }

  async read(): Promise<Settings> {
    const target = parseTarget(this.#given.target);
    this.#applyArguments(target.user, target.port);
    const explicit = new Set(this.#options.lists.get('identityfile'));
    const first: ConfigTarget = {
      originalHost: target.host,
      host: target.host,
      isFinalPass: false,
      localUser: this.#around.localUser,
      defaultUser: this.#options.text.get('user') ?? this.#around.localUser,
    };
    await this.#applyFiles(first);
    if (this.#wantsFinalPass) {
      const host = this.#hostName(target.host);
      this.#options.text.set('hostname', host.replaceAll('%', '%%'));
      await this.#applyFiles({ ...first, host, isFinalPass: true });
    }
    return this.#settings(target.host, explicit);
  }

  #applyArguments(user: string | null, port: number | null): void {
    const given = this.#given;
    if (given.port !== undefined) this.#set('Port', String(parsePort(given.port)));
    else if (port !== null) this.#set('Port', String(port));
    if (given.jump !== undefined) this.#set('ProxyJump', given.jump);
    const login = given.user ?? user;
    if (login !== null) this.#set('User', login);
    for (const path of given.identityFiles) this.#set('IdentityFile', path);
    if (given.pkcs11 !== undefined) this.#set('PKCS11Provider', given.pkcs11 || anyModule);
    for (const [name, value] of given.shorthands ?? []) this.#set(name, value);
    for (const text of given.options) this.#applyOption(text);
  }

  #set(name: string, value: string): void {
    const outcome = this.#options.set(name, [value]);
    if (outcome.is === 'wrong') throw new ClientFailure('usage', outcome.why);
  }

  #applyOption(text: string): void {
    const option = splitOption(text);
    if (!option) throw new ClientFailure('usage', `-o ${text}: not KEY=VALUE`);
    const outcome = this.#options.set(option.name, option.words);
    if (outcome.is === 'wrong') throw new ClientFailure('usage', `-o ${outcome.why}`);
    if (outcome.is === 'ignored') this.#ignored.push(outcome.name);
  }

  async #applyFiles(target: ConfigTarget): Promise<void> {
    const { configFile } = this.#given;
    const own = join(this.#around.home, '.ssh');
    if (configFile !== undefined) {
      if (configFile.toLowerCase() === 'none') return;
      const source = await readConfig(configFile);
      if (!source) throw new ClientFailure('usage', `${configFile}: no such file`);
      await this.#applyFile(source, target, own, true, 'any');
      return;
    }
    // As ssh: a configuration that others write says where one's keys go.
    const personal = await readConfig(join(own, 'config'), 'own');
    if (personal) await this.#applyFile(personal, target, own, true, 'own');
    const system = await readConfig(this.#around.systemConfig);
    // What the system's file says for everybody is nobody's mistake: ignored without a word.
    if (system) await this.#applyFile(system, target, dirname(system.path), false, 'any');
  }

  async #applyFile(
    source: ConfigSource,
    target: ConfigTarget,
    includeBase: string,
    isReported: boolean,
    care: FileCare,
  ): Promise<void> {
    const { ignored, wantsFinalPass } = await applyConfig(
      source,
      target,
      this.#options,
      (pattern) => readIncluded(this.#path(pattern), includeBase, care),
    );
    this.#wantsFinalPass ||= wantsFinalPass;
    if (isReported) this.#ignored.push(...ignored.map((option) => option.name));
  }

  #path(text: string): string {
    return text === '~' || text.startsWith('~/') ? join(this.#around.home, text.slice(1)) : text;
  }

  #settings(originalHost: string, explicit: ReadonlySet<string>): Settings {
    const text = (name: OptionName): string | undefined => this.#options.text.get(name);
    const host = this.#hostName(originalHost);
    const port = Number(text('port') ?? 22);
    const user = text('user') ?? this.#around.localUser;
    const tokens = this.#tokens({ host, originalHost, port, user });
    const files = (name: OptionName, otherwise: readonly string[]): string[] =>
      (this.#options.lists.get(name) ?? otherwise).map((path) => this.#expand(path, tokens));
    const own = join(this.#around.home, '.ssh');
    const isBatch = this.#given.isBatch || text('batchmode') === 'yes';
    return {
      host,
      originalHost,
      port,
      user,
      hostKeyAlias: text('hostkeyalias') ?? null,
      identityFiles: (
        this.#options.lists.get('identityfile') ?? defaultIdentities.map((name) => join(own, name))
      )
        .filter((path) => path.toLowerCase() !== 'none')
        .map((path) => ({ path: this.#expand(path, tokens), isExplicit: explicit.has(path) })),
      certificateFiles: files('certificatefile', []).filter((path) => path !== 'none'),
      isIdentitiesOnly: text('identitiesonly') === 'yes',
      agentPath: this.#agentPath(text('identityagent'), tokens),
      agentForwarding: this.#agentForwarding(text('forwardagent') ?? 'no', tokens),
      userKnownHosts: files('userknownhostsfile', [
        join(own, 'known_hosts'),
        join(own, 'known_hosts2'),
      ]).filter((path) => path !== 'none'),
      globalKnownHosts: files('globalknownhostsfile', [
        '/etc/ssh/ssh_known_hosts',
        '/etc/ssh/ssh_known_hosts2',
      ]).filter((path) => path !== 'none'),
      strictHostKeyChecking: (text('stricthostkeychecking') ??
        'ask') as Settings['strictHostKeyChecking'],
      isHashed: text('hashknownhosts') === 'yes',
      requiredRsaBits: Number(text('requiredrsasize') ?? 1024),
      // As in ssh: whoever has files of his own keeps them himself, unless he says so.
      updateHostKeys: (text('updatehostkeys') ??
        (this.#options.lists.has('userknownhostsfile')
          ? 'no'
          : 'yes')) as Settings['updateHostKeys'],
      revokedHostKeys: this.#fileOrNone(text('revokedhostkeys'), tokens),
      ...this.#algorithms(),
      jump: jumpOf(
        this.#expanded('ProxyJump', valueOrNone(text('proxyjump')), tokens),
        this.#given,
      ),
      methods: this.#methods(),
      gssapiAuthentication: text('gssapiauthentication') !== 'no',
      gssapiDelegateCredentials: text('gssapidelegatecredentials') === 'yes',
      cardProcess: this.#given.cardProcess,
      pkcs11Provider: this.#pkcs11Provider(text('pkcs11provider')),
      promptAttempts: Number(text('numberofpasswordprompts') ?? 3),
      keepaliveIntervalMs: Number(text('serveraliveinterval') ?? 15) * 1000,
      keepaliveCountMax: Number(text('serveralivecountmax') ?? 3),
      connectTimeoutMs: Number(text('connecttimeout') ?? 30) * 1000,
      family: text('addressfamily') === 'inet' ? 4 : text('addressfamily') === 'inet6' ? 6 : 0,
      isBatch,
      forwarding: forwardSettings(this.#options, isBatch, (path) => this.#expand(path, tokens)),
      program: programSettings(this.#options, this.#around.environment),
      ignored: [...new Set(this.#ignored)],
    };
  }

  #hostName(originalHost: string): string {
    const written = this.#options.text.get('hostname');
    const name = written === undefined ? originalHost : expandTokens(written, { h: originalHost });
    if (name === null) throw new ClientFailure('usage', `HostName ${written}: unknown token`);
    // Names are lower case before they are looked up; the zone of an address is not a name.
    return name.includes(':') ? name : name.toLowerCase();
  }

  #tokens(to: { host: string; originalHost: string; port: number; user: string }): Tokens {
    return {
      d: this.#around.home,
      u: this.#around.localUser,
      i: String(process.getuid?.() ?? 0),
      h: to.host,
      n: to.originalHost,
      k: this.#options.text.get('hostkeyalias') ?? to.host,
      p: String(to.port),
      r: to.user,
    };
  }

  #expand(path: string, tokens: Tokens): string {
    const expanded = expandTokens(this.#path(path), tokens, this.#around.environment);
    if (expanded === null) throw new ClientFailure('usage', `${path}: unknown token or variable`);
    return expanded;
  }

  #agentPath(written: string | undefined, tokens: Tokens): string | null {
    const { environment } = this.#around;
    if (written === undefined || written === 'SSH_AUTH_SOCK') {
      return environment.SSH_AUTH_SOCK || null;
    }
    if (written.toLowerCase() === 'none') return null;
    if (written.startsWith('$') && !written.startsWith('${')) {
      return environment[written.slice(1)] || null;
    }
    return this.#expand(written, tokens);
  }

  #expanded(name: string, text: string | null, tokens: Tokens): string | null {
    const expanded = text === null ? '' : expandTokens(text, tokens);
    if (expanded === null) throw new ClientFailure('usage', `${name} ${text}: unknown token`);
    return expanded || null;
  }

  #fileOrNone(written: string | undefined, tokens: Tokens): string | null {
    const path = valueOrNone(written);
    return path === null ? null : this.#expand(path, tokens);
  }

  #algorithms(): Pick<Settings, 'offer' | 'authorityAlgorithms' | 'isHostKeyOrderKept'> {
    const list = (option: AlgorithmOption): readonly string[] =>
      algorithmsOf(option, this.#options.text.get(option));
    const hostKeys = this.#options.text.get('hostkeyalgorithms');
    return {
      offer: {
        kex: list('kexalgorithms'),
        hostKey: list('hostkeyalgorithms'),
        cipher: list('ciphers'),
        mac: list('macs'),
      },
      authorityAlgorithms: list('casignaturealgorithms'),
      isHostKeyOrderKept: hostKeys !== undefined && !/^[+-]/.test(hostKeys),
    };
  }

  /** As in ssh a path without tokens; only the home is filled in. */
  #pkcs11Provider(written: string | undefined): string | null {
    const path = valueOrNone(written);
    return path === null ? null : this.#path(path);
  }

  /** `yes`, `no`, the path of a socket or `$VARIABLE` (ssh_config(5)). */
  #agentForwarding(written: string, tokens: Tokens): AgentForwarding {
    const flag = { yes: 'yes', true: 'yes', no: 'no', false: 'no' }[written.toLowerCase()];
    if (flag === 'no') return { is: 'off' };
    const source = flag === 'yes' ? this.#options.text.get('identityagent') : written;
    const path = this.#agentPath(source, tokens);
    return path === null ? { is: 'missing' } : { is: 'to', path };
  }

  #methods(): string[] {
    const text = (name: OptionName): string | undefined => this.#options.text.get(name);
    const wanted = text('preferredauthentications') ?? preferredMethods;
    const off = new Set<string>();
    if (text('gssapiauthentication') === 'no') off.add('gssapi-with-mic');
    if (text('pubkeyauthentication') === 'no') off.add('publickey');
    if (text('kbdinteractiveauthentication') === 'no') off.add('keyboard-interactive');
    if (text('passwordauthentication') === 'no') off.add('password');
    return wanted.split(',').filter((method) => !off.has(method));
  }
}

function valueOrNone(written: string | undefined): string | null {
  return written === undefined || written.toLowerCase() === 'none' ? null : written;
}
