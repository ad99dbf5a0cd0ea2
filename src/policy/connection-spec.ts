/**
 * `-C user=,host=,addr=,…` (sshd(8)): the connection that `-T` is to assume. Checked only: without
 * Match nothing depends on it. Runs in: launcher.
 */
import { isIP } from 'node:net';
import { parsePort } from '../../keys/destination.ts';
import { allowed, refused, type Verdict } from './verdict.ts';

const names = ['user', 'host', 'addr', 'laddr', 'lport', 'rdomain', 'version'] as const;
const flags = ['invalid-user'];

function checkOne(item: string): Verdict {
  if (flags.includes(item)) {
    return allowed;
  }
  const [, name, value] = /^([a-z-]+)=(.*)$/s.exec(item) ?? [];
  if (name === undefined || value === undefined || !(names as readonly string[]).includes(name)) {
    return refused('syntax', `Invalid test mode specification ${item}`);
  }
  if (name === 'lport' && parsePort(value) === undefined) {
    return refused('port', `Invalid port '${value}' in test mode specification ${item}`);
  }
  if ((name === 'addr' || name === 'laddr') && isIP(value) === 0) {
    return refused('address', `Invalid address '${value}' in test mode specification ${item}`);
  }
  return allowed;
}

export function checkConnectionSpec(text: string): Verdict {
  return (
    text
      .split(',')
      .map(checkOne)
      .find((verdict) => !verdict.allowed) ?? allowed
  );
}
