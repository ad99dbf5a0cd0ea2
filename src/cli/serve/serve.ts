/**
 * `sshdesk serve`: sshd's flags, checks before anything is started, then the monitor in this
 * process. Without -D the launcher waits until the daemon listens and exits 0. Runs in: monitor.
 */
import { closeSync, readFileSync, writeSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { JsonSink } from '../../audit/json.ts';
import { Log, type LogLevel, type LogOutlet, type LogSink } from '../../audit/log.ts';
import { DescriptorSink, FileSink, sshdLineEnd } from '../../audit/stream.ts';
import { ConfigError } from '../../base/errors.ts';
import type { HostKeys } from '../../monitor/host-keys.ts';
import type { DesktopConfig, ServerConfig } from '../../policy/config.ts';
import { type ConfigSource, systemSource } from '../../policy/config-source.ts';
import { checkConnectionSpec, subjectOf } from '../../policy/connection-spec.ts';
import type { MatchSubject } from '../../policy/match.ts';
import { dumpConfig } from '../../policy/dump.ts';
import { ConfigFailure } from '../../policy/failure.ts';
import {
  defaultDesktopFile,
  defaultServerFile,
  type LoadedDesktop,
  loadConfig,
  loadDesktopConfig,
} from '../../policy/load.ts';
import { installDirectory, placesFor } from '../../process/places.ts';
import { offeredHostKeyAlgorithms } from '../../process/host-key-offer.ts';
import { BindError } from '../../process/listeners.ts';
import { Monitor } from '../../process/monitor.ts';
import type { MonitorPolicy } from '../../process/monitor-policy.ts';
import {
  type FromServiceManager,
  listenersOf,
  ServiceManager,
  takeFromEnvironment,
} from '../../process/service-manager.ts';
import { SyslogSink } from '../../audit/syslog.ts';
import { parseFlags, type ServeFlags, UsageError, usage } from './flags.ts';
import { accountOf, workerAccount } from './account.ts';
import { tellOfFiles } from './told-files.ts';
import { hostKeysOf } from './host-keys.ts';
import { launch } from './launch.ts';
import { PidFile } from './pid-file.ts';
import { Reload } from './reload.ts';
import { leaveSupervisor, onLostSupervisor } from './supervisor.ts';
import { whoListens } from './who-listens.ts';

export interface ServeInfo {
  readonly log: Log;
}

export interface ServeOptions {
  /** Connections are accepted from here on; only in the foreground. */
  readonly onReady?: (info: ServeInfo) => void;
  /** A lost terminal ends it, logins and all (`sshdesk start`). */
  readonly endsWithTerminal?: boolean;
  /** See `MonitorOptions`. */
  readonly workerProgram?: string;
}

const failed = 255;
const usageFailed = 1;
const manifest = JSON.parse(readFileSync(`${installDirectory}/package.json`, 'utf8')) as {
  readonly version: string;
};
export const identification = `SSH-2.0-sshdesk_${manifest.version}`;

function identificationFor({ versionAddendum }: ServerConfig): string {
  return versionAddendum === '' ? identification : `${identification} ${versionAddendum}`;
}

function versionText(): string {
  return `${identification.slice('SSH-2.0-'.length)}, OpenSSL ${process.versions.openssl}`;
}

const nowUsec = (): bigint => process.hrtime.bigint() / 1000n;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function sinkFor(flags: ServeFlags, { config, desktopConfig }: Configuration): LogSink {
  const isJson = desktopConfig.logFormat === 'json';
  const lineEnd = isJson ? '\n' : sshdLineEnd;
  const sink = (): LogSink => {
    if (flags.logFile !== undefined) {
      return new FileSink(resolve(flags.logFile), lineEnd);
    }
    return flags.logToStderr || flags.test || flags.dump
      ? new DescriptorSink(2, lineEnd)
      : new SyslogSink({ tag: desktopConfig.logTag, facility: config.syslogFacility });
  };
  return isJson ? new JsonSink(sink()) : sink();
}

function outletFor(flags: ServeFlags, loaded: Configuration): LogOutlet {
  return { sink: sinkFor(flags, loaded), tag: loaded.desktopConfig.logTag };
}

function levelFor(flags: ServeFlags, configured: LogLevel): LogLevel {
  if (flags.quiet) {
    return 'QUIET';
  }
  return flags.debug > 0 ? (`DEBUG${Math.min(flags.debug, 3)}` as LogLevel) : configured;
}

/** Where failures at the start go: the terminal, or the launcher's pipe. */
function reporter(flags: ServeFlags): { line(text: string): void; ready(): void } {
  const { readyDescriptor } = flags;
  if (readyDescriptor === undefined) {
    return { line: say, ready: () => {} };
  }
  return {
    line: (text) => void writeSync(readyDescriptor, `${text}\n`),
    ready: () => {
      writeSync(readyDescriptor, 'ready\n');
      closeSync(readyDescriptor);
    },
  };
}

interface Configuration {
  readonly config: ServerConfig;
  readonly configFor: (subject: MatchSubject) => ServerConfig;
  readonly desktopConfig: DesktopConfig;
  readonly desktopConfigFor: LoadedDesktop['configFor'];
  /** Value of a HostKey → `FILE:LINE`. */
  readonly hostKeyPlaces: ReadonlyMap<string, string>;
  readonly notices: readonly string[];
  readonly details: readonly string[];
}

async function load(flags: ServeFlags, source: ConfigSource): Promise<Configuration> {
  const hostKeyPlaces = new Map<string, string>();
  const server = await loadConfig({
    file: flags.configFile ?? defaultServerFile,
    commandLine: flags.options,
    ports: flags.ports,
    hostKeys: flags.hostKeys,
    ...(flags.family === undefined
      ? {}
      : { addressFamily: flags.family === 4 ? ('inet' as const) : ('inet6' as const) }),
    source,
    onLine({ name, rest, file, line }) {
      const [value = ''] = rest.replace(/^["']|["'].*$/g, '').split(/\s/, 1);
      if (name === 'HostKey') hostKeyPlaces.set(value, `${file}:${line}`);
    },
  });
  const desktop = loadDesktopConfig({
    file: flags.desktopConfigFile ?? defaultDesktopFile,
    isFileRequired: flags.desktopConfigFile !== undefined,
    cores: cpus().length,
    source,
  });
  return {
    config: server.config,
    configFor: server.configFor,
    desktopConfig: desktop.config,
    desktopConfigFor: desktop.configFor,
    hostKeyPlaces,
    notices: [...server.notices, ...desktop.notices],
    details: [...server.details, ...desktop.details],
  };
}

function policyOf(
  { config, configFor, desktopConfig, desktopConfigFor }: Configuration,
  hostKeys: HostKeys,
): MonitorPolicy {
  return {
    config,
    configFor,
    desktopConfig,
    desktopConfigFor,
    hostKeys,
    version: identificationFor(config),
  };
}

async function begin(
  flags: ServeFlags,
  policy: MonitorPolicy,
  log: Log,
  isRootless: boolean,
  { passed }: FromServiceManager,
  { workerProgram }: ServeOptions,
): Promise<Monitor> {
  return Monitor.start({
    policy,
    log,
    places: placesFor(!isRootless, process.env),
    isRootless,
    workerAccount: isRootless ? { uid: 0, gid: 0 } : workerAccount(),
    ...(flags.inherited ? { inherited: { input: 0, output: 1 } } : {}),
    passed: flags.inherited ? [] : listenersOf(passed),
    servesOne: flags.debug > 0,
    ...softFiles(),
    ...(workerProgram === undefined ? {} : { workerProgram }),
  });
}

/** As the daemon finds them once it has left the directory that it was started in. */
function withAbsoluteFiles(flags: ServeFlags): ServeFlags {
  const { configFile, desktopConfigFile, logFile } = flags;
  const absolute = (path: string | undefined) => (path === undefined ? undefined : resolve(path));
  return {
    ...flags,
    configFile: absolute(configFile),
    desktopConfigFile: absolute(desktopConfigFile),
    logFile: absolute(logFile),
  };
}

/** The `sshdesk` script tells it: Node raises the limit before the first line of ours runs. */
function softFiles(): { readonly softFiles?: number } {
  const told = Number(process.env.SSHDESK_SOFT_FILES);
  return Number.isInteger(told) && told > 0 ? { softFiles: told } : {};
}

/** What is wrong at the start, one line each, with the remedy where there is one. */
function explain(error: unknown): readonly string[] {
  if (error instanceof BindError) {
    const holder = whoListens(error.listen.port);
    return [`${error.detail}${holder === undefined ? '' : ` It is taken by ${holder}.`}`];
  }
  if (error instanceof ConfigFailure) {
    return error.lines;
  }
  return error instanceof ConfigError
    ? error.detail.split('\n')
    : [`sshdesk: ${(error as Error).message}`];
}

/** As sshd: without `-C` a connection of which nothing is known. */
function assumed({ configFor }: Configuration, flags: ServeFlags): ServerConfig {
  return configFor(subjectOf(flags.connectionSpecs, accountOf));
}

function tell({ notices, details }: Configuration, log: Log): void {
  for (const line of notices) {
    log.info(line);
  }
  for (const line of details) {
    log.debug(line);
  }
}

async function run(
  flags: ServeFlags,
  from: FromServiceManager,
  options: ServeOptions,
): Promise<number> {
  const isRootless = process.getuid?.() !== 0;
  const report = reporter(flags);
  let pidFile: PidFile | undefined;
  let opened: Log | undefined;
  try {
    const source = systemSource();
    const loaded = await load(flags, source);
    const log = new Log(outletFor(flags, loaded), levelFor(flags, loaded.config.logLevel));
    opened = log;
    for (const spec of flags.connectionSpecs) {
      const verdict = checkConnectionSpec(spec);
      if (!verdict.allowed) {
        throw new ConfigError(verdict.detail);
      }
    }
    const first = await hostKeysOf(loaded, log);
    const { hostKeys } = first;
    let { tokens } = first;
    // Said at the start, and by -t, not at the first connection.
    await tellOfFiles(loaded.desktopConfig, log, isRootless);
    offeredHostKeyAlgorithms(hostKeys, loaded.config);
    if (flags.dump) {
      process.stdout.write(`${dumpConfig(assumed(loaded, flags)).join('\n')}\n`);
    }
    if (flags.test) {
      const { doubtsOf } = await import('../doctor/doubts.ts');
      (await doubtsOf(loaded)).forEach(say);
    }
    if (flags.dump || flags.test) {
      await tokens.close();
      return 0;
    }
    const atRoot = withAbsoluteFiles(flags);
    // As sshd: what was mounted where the daemon was started can be unmounted.
    process.chdir('/');
    log.debug(versionText());
    tell(loaded, log);
    if (isRootless) {
      log.info('Not root: serving the invoking user only, with public keys.');
    }
    const policy = policyOf(loaded, hostKeys);
    const monitor = await begin(flags, policy, log, isRootless, from, options);
    const listens = !flags.inherited && flags.debug === 0;
    pidFile = new PidFile(log);
    if (listens) {
      pidFile.write(loaded.config.pidFile);
    }
    const service = new ServiceManager(from, { debug: (line) => log.debug(line), nowUsec });
    const drain = (signal: string): void => {
      monitor.drain(signal);
      // Whoever waits for the end of the service, or starts it again, goes by these.
      pidFile?.remove();
      service.stopping('No new connections; logins that are there go on.');
      leaveSupervisor(flags.supervisor);
    };
    process.on('SIGTERM', () => drain('15'));
    onLostSupervisor(flags.supervisor, () => monitor.isDraining || drain('15'));
    const end = (signal: string): void => {
      drain(signal);
      monitor.endConnections();
    };
    process.on('SIGINT', () => end('2'));
    const reload = new Reload({
      log,
      explain,
      apply: async () => {
        const read = await load(atRoot, source);
        const next = await hostKeysOf(read, log, tokens);
        let sink: LogSink | undefined;
        try {
          await tellOfFiles(read.desktopConfig, log, isRootless);
          // A log file that was moved away is made anew.
          sink = sinkFor(atRoot, read);
          await monitor.change(policyOf(read, next.hostKeys));
        } catch (error) {
          sink?.close?.();
          await next.tokens.close();
          throw error;
        }
        await tokens.retire(next.tokens);
        tokens = next.tokens;
        log.redirect(sink, levelFor(atRoot, read.config.logLevel), read.desktopConfig.logTag);
        tell(read, log);
        pidFile?.write(read.config.pidFile);
      },
    });
    process.on('SIGHUP', () => {
      if (options.endsWithTerminal === true) {
        end('1');
      } else if (listens && !monitor.isDraining) {
        service.reloading();
        reload
          .request()
          .then((text) => service.ready(`${text} ${monitor.listening}`))
          .catch((error: unknown) =>
            log.error(`SIGHUP: ${(error as Error).stack ?? String(error)}`),
          );
      }
    });
    if (flags.readyDescriptor === undefined) {
      service.ready(monitor.listening);
    } else {
      service.watch(); // the launcher says the rest
    }
    report.ready();
    options.onReady?.({ log });
    return await monitor.ended;
  } catch (error) {
    for (const line of explain(error)) {
      report.line(line);
    }
    return failed;
  } finally {
    pidFile?.remove();
    opened?.close();
  }
}

/** The exit code. `args` are those behind `serve`. */
export async function serve(args: readonly string[], options: ServeOptions = {}): Promise<number> {
  let flags: ServeFlags;
  try {
    flags = parseFlags(args);
  } catch (error) {
    if (error instanceof UsageError) {
      say(error.message);
      say(usage);
      return usageFailed;
    }
    throw error;
  }
  if (flags.version) {
    say(versionText());
    return 0;
  }
  let from: FromServiceManager;
  try {
    from = takeFromEnvironment(process.env, process.pid);
  } catch (error) {
    explain(error).forEach(say);
    return failed;
  }
  const staysHere = flags.foreground || flags.inherited || flags.test || flags.dump;
  return staysHere ? run(flags, from, options) : launch(args, flags, { from, nowUsec, say });
}
