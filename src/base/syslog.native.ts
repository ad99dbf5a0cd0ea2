/** syslog(3), facility LOG_AUTH. Runs in: monitor. */
import { addon, checked } from './addon.native.ts';

/** `identity` is the tag of every line; the pid follows it. */
export function openSyslog(identity: string): void {
  checked('openlog', addon.openSyslog(identity));
}

/** severity: LOG_EMERG 0 … LOG_DEBUG 7. */
export function writeSyslog(severity: number, line: string): void {
  checked('syslog', addon.writeSyslog(severity, Buffer.from(line)));
}
