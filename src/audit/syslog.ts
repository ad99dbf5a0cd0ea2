/** Lines to syslog with sshd's severities and prefixes (log.c of OpenSSH). Runs in: monitor. */
import { openSyslog, writeSyslog } from '../base/syslog.native.ts';
import type { LogLevel, LogSink } from './log.ts';

const severities: Readonly<Record<LogLevel, number>> = {
  QUIET: 2,
  FATAL: 2,
  ERROR: 3,
  INFO: 6,
  VERBOSE: 6,
  DEBUG1: 7,
  DEBUG2: 7,
  DEBUG3: 7,
};

export class SyslogSink implements LogSink {
  /** fail2ban and others look for `sshd`. */
  constructor(tag: string) {
    openSyslog(tag);
  }
  write(level: LogLevel, prefix: string, line: string): void {
    writeSyslog(severities[level], `${prefix}${line}`);
  }
}
