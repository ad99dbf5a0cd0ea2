/**
 * npm run bench [-- --only NAME[,NAME…] --pairs N --logins N --tunnels N]: sshdesk beside Debian's
 * sshd, in alternated pairs in one run: same client, cipher, user, key, PAM stack. Prints medians with
 * the ratio and writes results.json. The names are those of figures/. Runs in: test, in the lab.
 */
import { parseArgs } from 'node:util';
import { inLab } from '../support/lab.ts';
import { serverKind } from '../support/server.ts';
import { Bench, type Figure } from './bench.ts';
import { bulk } from './figures/bulk.ts';
import { card } from './figures/card.ts';
import { desktop } from './figures/desktop.ts';
import { echo } from './figures/echo.ts';
import { flood } from './figures/flood.ts';
import { forward } from './figures/forward.ts';
import { idle } from './figures/idle.ts';
import { kerberos } from './figures/kerberos.ts';
import { login } from './figures/login.ts';
import { match } from './figures/match.ts';
import { sftp } from './figures/sftp.ts';
import { tunnels } from './figures/tunnels.ts';
import { waiting } from './figures/waiting.ts';

const lab = inLab(import.meta.url);
if (lab.skip !== false) {
  throw new Error(lab.skip);
}
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    pairs: { type: 'string', default: '7' },
    logins: { type: 'string', default: '200' },
    tunnels: { type: 'string', default: '2000' },
  },
});

const figures: readonly Figure[] = [
  login,
  kerberos,
  card,
  waiting,
  match,
  bulk,
  forward,
  sftp,
  echo,
  idle,
  tunnels,
  flood,
  desktop,
];
const only = values.only?.split(',') ?? figures.map(({ name }) => name);
const unknown = only.filter((name) => !figures.some((figure) => figure.name === name));
if (unknown.length > 0) {
  throw new Error(`no such figure: ${unknown.join(', ')}`);
}

const bench = new Bench(Number(values.pairs), Number(values.logins), Number(values.tunnels));
bench.printHead();
const wanted = figures.filter(({ name }) => only.includes(name));
if (wanted.some(({ startsServers }) => !startsServers)) {
  const [ours, sshd] = [await bench.start(serverKind), await bench.start('sshd')];
  try {
    for (const figure of wanted) {
      if (!figure.startsServers) {
        await figure.run(bench, ours, sshd);
      }
    }
  } finally {
    await ours.stop();
    await sshd.stop();
  }
}
for (const figure of wanted) {
  if (figure.startsServers) {
    await figure.run(bench);
  }
}
