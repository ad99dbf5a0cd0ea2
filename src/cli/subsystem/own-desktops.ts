/**
 * Desktops without a daemon: for as long as this process runs it owns the user's desktops, as the
 * daemon of a user would, or asks another such process that does. They outlive it. Runs in: user.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '../../audit/log.ts';
import type { Owner } from '../../broker/outcome.ts';
import type { LoadedDesktop } from '../../policy/load.ts';
import { Leaders } from '../../process/leaders.ts';
import { localAccount } from '../../process/local-account.ts';
import { MonitorDesktops } from '../../process/monitor-desktops.ts';
import { leaderExecutable, type Places } from '../../process/places.ts';
import { Zygote } from '../../process/zygote.ts';
import type { Desktops } from '../../../subsystems/display/desktops.ts';
import { askedDesktops } from './asked-desktops.ts';

export interface OwnDesktops {
  readonly desktops: Desktops;
  /** Viewers are over; the desktops go on. */
  release(): void;
}

export async function ownDesktops(
  places: Places,
  owner: Owner,
  from: string,
  desktopConfigFor: LoadedDesktop['configFor'],
  softFiles: number | undefined,
  log: Log,
): Promise<OwnDesktops> {
  const isRootless = owner.uid !== 0;
  process.umask(0o022);
  mkdirSync(dirname(places.storeFile), { recursive: true, mode: 0o700 });
  mkdirSync(places.runtimeDirectory, { recursive: true, mode: isRootless ? 0o700 : 0o755 });
  const zygote = new Zygote(
    leaderExecutable,
    softFiles,
    (error, name) => log.error(`internal error in ${name}: ${String(error)}`),
    // The channel of an sshd is open as long as anybody holds an end of it.
    'ignore',
  );
  const leaders = new Leaders(zygote, log);
  const account = await localAccount(leaders, owner, desktopConfigFor);
  if (account.is === 'refused') {
    log.info(`subsystem: uid ${owner.uid} is refused: ${account.detail}`);
    zygote.close();
    throw new Error(account.text);
  }
  const { desktops, onlooker, answering } = askedDesktops(owner.user, from, log);
  const owned = new MonitorDesktops(
    {
      // The service that sshd uses, whoever of the two serves.
      policy: {
        config: {
          usePam: !isRootless,
          pamServiceName: 'sshd',
          gssapiAuthentication: false,
          // Nobody here has a client's agent to give.
          allowAgentForwarding: false,
          disableForwarding: true,
        },
        desktopConfigFor,
      },
      log,
      places,
      isRootless,
    },
    leaders,
  );
  owned.serveUser(answering, onlooker, account.owner);
  await owned.begin();
  return {
    desktops,
    release: () => {
      owned.connectionEnded(onlooker);
      owned.release();
      answering.close();
      zygote.close();
    },
  };
}
