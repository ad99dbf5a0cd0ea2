/**
 * Starts the process that a PKCS#11 module is to be loaded in. It may be begun before the module is
 * known, for it takes longer than all that follows. Runs in: user (client), monitor (host keys).
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { socketPair } from '../../src/base/link.native.ts';
import { closeDescriptor } from '../../src/base/socket.native.ts';

export interface CardStart {
  /** Modules find their own configuration by it; what would steer Node is left out. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** As whom the module runs, when the caller is root and it should not. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** It belongs to one `CardModule`, or is to be given up. Keeps nobody alive until then. */
export interface CardProcess {
  readonly child: ChildProcess;
  /** This side's end of the link. */
  readonly link: number;
  /** For one that is not wanted after all. */
  giveUp(): void;
}

const program = fileURLToPath(new URL('card-process.ts', import.meta.url));

export function startCardProcess({ environment, user }: CardStart): CardProcess {
  const [link, theirs] = socketPair();
  try {
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--disable-sigusr1', program, String(process.pid)],
      {
        // Not the terminal: a module that prints or asks would do it in the client's name.
        stdio: ['ignore', 'ignore', 'ignore', theirs],
        detached: true,
        env: { ...withoutNode(environment), ...(user === undefined ? compileCache() : {}) },
        ...user,
      },
    );
    // What it says of its start is heard by whoever takes it over; until then it is no fault.
    child.on('error', () => undefined);
    child.unref();
    const giveUp = (): void => {
      closeDescriptor(link);
      child.kill('SIGKILL');
    };
    return { child, link, giveUp };
  } catch (error) {
    closeDescriptor(link);
    throw error;
  } finally {
    closeDescriptor(theirs);
  }
}

function withoutNode(
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('NODE_')),
  );
}

/** What this process was found to be allowed to use, its child of the same user may. */
function compileCache(): Record<string, string> {
  const used = getCompileCacheDir();
  return used === undefined ? {} : { NODE_COMPILE_CACHE: dirname(used) };
}
