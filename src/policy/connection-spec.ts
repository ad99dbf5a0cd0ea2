/**
 * `-C user=,host=,addr=,…` (sshd(8)): the connection that `-T` is to assume. Runs in: launcher.
 */
import { isIP } from 'node:net';
import { parsePort } from '../../keys/destination.ts';
import type { MatchSubject } from './match.ts';
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

/** What all of them say together, the last word for each name. Only good ones. */
export function subjectOf(
  texts: readonly string[],
  account: (user: string) => { readonly exists: boolean; readonly groups: readonly string[] },
): MatchSubject {
  const items = texts.flatMap((text) => text.split(','));
  const values = new Map(
    items.map((item): [string, string] => {
      const at = item.indexOf('=');
      return at < 0 ? [item, ''] : [item.slice(0, at), item.slice(at + 1)];
    }),
  );
  const user = values.get('user');
  const { exists, groups } = user === undefined ? { exists: true, groups: [] } : account(user);
  const port = values.get('lport');
  return {
    user,
    isInvalidUser: values.has('invalid-user') || !exists,
    groups,
    remoteHost: values.get('host'),
    remoteAddress: values.get('addr'),
    localAddress: values.get('laddr'),
    localPort: port === undefined ? undefined : parsePort(port),
    routingDomain: values.get('rdomain'),
  };
}
