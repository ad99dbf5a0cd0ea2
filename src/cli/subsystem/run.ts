/**
 * `sshdesk subsystem NAME`: what sshdesk's own server does with a channel, on the standard streams
 * of a process that another sshd has started as its user. Runs in: user.
 */
import { defaultProtocol } from '../../../subsystems/display/engines/index.ts';
import { hostname } from 'node:os';
import { Log } from '../../audit/log.ts';
import { SyslogSink } from '../../audit/syslog.ts';
import { ConfigFailure } from '../../policy/failure.ts';
import { subsystems } from '../../../subsystems/index.ts';
import { openDesktops, type Opened } from './doors.ts';
import { isOnTerminal, StandardChannel } from './standard-channel.ts';
import { desktopConfigFor, visitorFrom } from './visitor.ts';

const refusedStatus = 1;
const failedStatus = 255;

/** For people who run it by hand and for the log: sshd throws away what a subsystem says on stderr. */
function teller(log: Log, name: string): (line: string) => void {
  return (line) => {
    log.info(`subsystem ${name}: ${line}`);
    process.stderr.write(`sshdesk: subsystem: ${line}\n`);
  };
}

/** The exit status. */
export async function runSubsystem(name: string): Promise<number> {
  const log = new Log(new SyslogSink({ tag: 'sshdesk', facility: 'AUTH' }), 'INFO');
  const say = teller(log, name);
  const subsystem = subsystems.get(name);
  if (subsystem === undefined) {
    say(`${JSON.stringify(name)} is none; there are ${[...subsystems.keys()].join(', ')}`);
    return refusedStatus;
  }
  if (isOnTerminal()) {
    say('this is for an sshd to run, not for a terminal; `sshdesk connect` is for people');
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
    const configFor = desktopConfigFor();
    process.chdir('/');
    opened = await openDesktops(visitor, configFor, log);
  } catch (error) {
    const lines = error instanceof ConfigFailure ? error.lines : [(error as Error).message];
    lines.forEach(say);
    return failedStatus;
  }
  const channel = new StandardChannel((line) => log.info(`subsystem ${name}: ${line}`));
  const hostName = hostname().split('.', 1)[0] as string;
  subsystem(channel, {
    desktops: opened.desktops,
    hostName,
    defaultProtocol,
    fault,
  });
  const status = await channel.done;
  opened.close();
  return status;
}
