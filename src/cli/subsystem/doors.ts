/**
 * Whose desktops a user has, looked for in this order: the machine's daemon, a daemon of his own,
 * and without either those of his own processes. Runs in: user.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../../audit/log.ts';
import { DesktopHello, DesktopHelloLocal } from '../../broker/remote.ts';
import type { Owner } from '../../broker/outcome.ts';
import type { LoadedDesktop } from '../../policy/load.ts';
import type { ElsewhereDoor } from '../../process/desktops-elsewhere.ts';
import { type Places, placesFor, placesIn } from '../../process/places.ts';
import type { Desktops } from '../../../subsystems/display/desktops.ts';
import { BothDesktops } from './both-desktops.ts';
import { ownDesktops } from './own-desktops.ts';
import { servedDesktops } from './served-desktops.ts';

/** A daemon that is started again is gone for a moment; its desktops are to be found all the same. */
const restartMs = 2_000;
const retryMs = 100;

export interface Visitor extends Owner {
  readonly home: string;
  /** XDG_RUNTIME_DIR, where there is one. */
  readonly runtime: string | undefined;
  /** What sshd says of where the login is from; empty: nothing. */
  readonly from: string;
  readonly softFiles: number | undefined;
}

export interface Opened {
  readonly desktops: Desktops;
  close(): void;
}

function saidOf({ from }: Visitor): string {
  return from === '' ? 'this machine' : `${from}, as another sshd has said`;
}

function machineDoor({ user, from }: Visitor): ElsewhereDoor {
  return {
    path: placesFor(true, {}).localSocket,
    servedBy: 0,
    hello: (peer) => peer.call(DesktopHelloLocal, { user, from }),
  };
}

/** A socket in the session's directory; that of the home is shared with processes like this one. */
function ownDoors({ uid, runtime }: Visitor): readonly ElsewhereDoor[] {
  const directories = new Set([runtime ?? '', `/run/user/${uid}`].filter((one) => one !== ''));
  return [...directories].map((directory) => ({
    path: join(directory, 'sshdesk/desktops.sock'),
    servedBy: uid,
    hello: (peer, owner) => peer.call(DesktopHello, owner),
  }));
}

async function machineDesktops(visitor: Visitor, log: Log): Promise<Desktops | undefined> {
  const door = machineDoor(visitor);
  const deadline = performance.now() + restartMs;
  for (;;) {
    const served = servedDesktops(door, visitor, saidOf(visitor), log);
    // A machine that has had no daemon since it was booted has no such directory.
    const mayCome = existsSync(placesFor(true, {}).runtimeDirectory);
    if (served !== undefined || !mayCome || performance.now() > deadline) {
      return served;
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

function hasAny(places: Places): boolean {
  try {
    return readdirSync(places.desktopsDirectory).length > 0;
  } catch {
    // It is made with the first desktop.
    return false;
  }
}

/** Throws where somebody else listens in the place of a daemon. */
export async function openDesktops(
  visitor: Visitor,
  desktopConfigFor: LoadedDesktop['configFor'],
  log: Log,
): Promise<Opened> {
  const isRoot = visitor.uid === 0;
  const places = isRoot ? placesFor(true, {}) : placesIn(visitor.home);
  const machine = await machineDesktops(visitor, log);
  if (machine !== undefined && (isRoot || !hasAny(places))) {
    return { desktops: machine, close: () => {} };
  }
  for (const door of isRoot ? [] : ownDoors(visitor)) {
    const served = servedDesktops(door, visitor, saidOf(visitor), log);
    if (served !== undefined) {
      const desktops = machine === undefined ? served : new BothDesktops(machine, served);
      return { desktops, close: () => {} };
    }
  }
  const own = await ownDesktops(
    places,
    visitor,
    saidOf(visitor),
    desktopConfigFor,
    visitor.softFiles,
    log,
  );
  const desktops = machine === undefined ? own.desktops : new BothDesktops(machine, own.desktops);
  return { desktops, close: own.release };
}
