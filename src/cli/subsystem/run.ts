/**
 * `sshdesk subsystem NAME`: what sshdesk's own server does with a channel, on the standard streams
 * of a process that another sshd has started as its user. Runs in: user.
 */
import { cpus, hostname, userInfo } from 'node:os';
import { Log } from '../../audit/log.ts';
import { SyslogSink } from '../../audit/syslog.ts';
import { systemSource } from '../../policy/config-source.ts';
import { ConfigFailure } from '../../policy/failure.ts';
import { defaultDesktopFile, loadDesktopConfig } from '../../policy/load.ts';
import { subsystems } from '../../../subsystems/index.ts';
import { openDesktops, type Opened, type Visitor } from './doors.ts';
import { isOnTerminal, StandardChannel } from './standard-channel.ts';

const refusedStatus = 1;
const failedStatus = 255;

/** For people who run it by hand and for the log: sshd throws away what a subsystem says on stderr. */
function teller(log: Log, name: string): (line: string) => void {
  return (line) => {
    log.info(`subsystem ${name}: ${line}`);
    process.stderr.write(`sshdesk: subsystem: ${line}\n`);
  };
}

/** The address of SSH_CONNECTION: nothing but an address is taken from it. */
export function addressIn(connection: string | undefined): string {
  const [address = ''] = (connection ?? '').split(' ', 1);
  return /^[0-9A-Fa-f:.]{2,45}(%[\w.-]{1,16})?$/.test(address) ? address : '';
}

/** The account is what NSS says of the uid: no variable has a say in it. */
function visitorFrom(environment: NodeJS.ProcessEnv): Visitor {
  const { username, uid, homedir } = userInfo();
  const files = Number(environment.SSHDESK_SOFT_FILES);
  return {
    user: username,
    uid,
    home: homedir,
    runtime: environment.XDG_RUNTIME_DIR,
    from: addressIn(environment.SSH_CONNECTION),
    softFiles: Number.isInteger(files) && files > 0 ? files : undefined,
  };
}

/** The exit status. */
export async function runSubsystem(name: string): Promise<number> {
  const log = new Log(new SyslogSink({ tag: 'sshdesk', facility: 'AUTH' }), 'INFO');
  const say = teller(log, name);
  const subsystem = subsystems.get(name);
  if (subsystem === undefined) {
    say(
      `subsystem: ${JSON.stringify(name)} is none; there are ${[...subsystems.keys()].join(', ')}`,
    );
    return refusedStatus;
  }
  if (isOnTerminal()) {
    say(
      'subsystem: this is for an sshd to run, not for a terminal; `sshdesk connect` is for people',
    );
    return refusedStatus;
  }
  const fault = (error: unknown): void => {
    log.error(`subsystem ${name}: ${(error as Error).stack ?? String(error)}`);
    say('the desktops cannot be reached; the reason is in the log');
    process.exit(failedStatus);
  };
  let opened: Opened;
  try {
    const visitor = visitorFrom(process.env);
    const { configFor } = loadDesktopConfig({
      file: defaultDesktopFile,
      isFileRequired: false,
      cores: cpus().length,
      source: systemSource(),
    });
    process.chdir('/');
    opened = await openDesktops(visitor, configFor, log);
  } catch (error) {
    const lines = error instanceof ConfigFailure ? error.lines : [(error as Error).message];
    lines.forEach(say);
    return failedStatus;
  }
  const channel = new StandardChannel((line) => log.info(`subsystem ${name}: ${line}`));
  const hostName = hostname().split('.', 1)[0] as string;
  subsystem(channel, { desktops: opened.desktops, hostName, fault });
  const status = await channel.done;
  opened.close();
  return status;
}
