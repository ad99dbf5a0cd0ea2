/** The ports that would be bound: free, or whose. Runs in: user. */
import { type Check, fail, type Finding, ok, warn } from '../check.ts';
import { whoListens } from '../../serve/who-listens.ts';

const lowPorts = 1024;

function look(port: number, isRoot: boolean): Finding {
  const holder = whoListens(port);
  if (holder === undefined) {
    return isRoot || port >= lowPorts
      ? ok(`port ${port} is free`)
      : warn(`port ${port} is free, and root's alone`, 'a Port above 1023, or start as root');
  }
  if (holder.startsWith('sshdesk')) return ok(`port ${port}: ${holder}`);
  // `sshd: /usr/sbin/sshd -D [listener] …`
  return /^(?:\S*\/)?sshd\b/.test(holder)
    ? warn(
        `port ${port} is sshd's: ${holder}`,
        'another Port to stand beside it (docs/guide/beside-sshd.md), or sshd is stopped first (docs/guide/instead-of-sshd.md)',
      )
    : fail(`port ${port} is taken by ${holder}`, 'another Port, or end what holds it');
}

export const port: Check = {
  name: 'port',
  applies: ({ configuration }) => configuration !== null,
  look({ configuration, isRoot }) {
    const addresses = configuration?.config.listenAddresses ?? [];
    const ports = [...new Set(addresses.map((one) => one.port))];
    return ports.map((one) => look(one, isRoot));
  },
};
