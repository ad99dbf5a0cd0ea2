/**
 * Without -D: the same command again as a daemon, and an end when it listens. Runs in: launcher.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { installDirectory } from '../../process/places.ts';
import { type FromServiceManager, ServiceManager } from '../../process/service-manager.ts';
import type { ServeFlags } from './flags.ts';

const failed = 255;

export interface LaunchHost {
  readonly from: FromServiceManager;
  readonly nowUsec: () => bigint;
  /** What is wrong, for the terminal. */
  say(line: string): void;
}

/** The exit code of the launcher. */
export function launch(
  args: readonly string[],
  flags: ServeFlags,
  { from, nowUsec, say }: LaunchHost,
): Promise<number> {
  if (from.passed.length > 0) {
    say('sockets of the service manager are for a daemon in the foreground: serve -D');
    return Promise.resolve(failed);
  }
  const main = `${installDirectory}/src/cli/main.ts`;
  const child = spawn(
    process.execPath,
    [...process.execArgv, main, 'serve', '-D', '--ready-descriptor=3', ...args],
    {
      detached: true,
      env: { ...process.env, ...forDaemon(from) },
      stdio: ['ignore', 'ignore', flags.logToStderr ? 'inherit' : 'ignore', 'pipe'],
    },
  );
  const { promise, resolve: done } = Promise.withResolvers<number>();
  let isReady = false;
  const pipe = child.stdio[3] as NodeJS.ReadableStream;
  createInterface({ input: pipe }).on('line', (line) => {
    if (line === 'ready') {
      isReady = true;
      // Said by the process that was started, which is the one that is believed.
      new ServiceManager(from, { debug: say, nowUsec }).readyAs(child.pid ?? 0, 'Serving.');
      child.unref();
      done(0);
    } else {
      say(line);
    }
  });
  child.on('error', (error) => {
    say(error.message);
    done(failed);
  });
  child.on('exit', (code) => {
    if (!isReady) {
      done(code ?? failed);
    }
  });
  return promise;
}

/** It goes on where the launcher was; of a watchdog it takes the place. */
function forDaemon({ notifySocket, watchdogUsec }: FromServiceManager): Record<string, string> {
  return {
    ...(notifySocket === undefined ? {} : { NOTIFY_SOCKET: notifySocket }),
    ...(watchdogUsec === undefined ? {} : { WATCHDOG_USEC: watchdogUsec }),
  };
}
